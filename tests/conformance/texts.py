"""The texts that every variant must read as transformers does, and the small corpus that the tokenizers are trained on.

What stands in a text is written with escapes where an editor could change it or an eye could miss it.
"""

TEXTS = (
    "Paris.",
    " Paris.",
    "  two spaces before, and after  ",
    " ",
    "   ",
    "\n",
    "\n\n Hello\n",
    "\tdef f(x):\n\t\treturn x\r\n",
    "ere is the end of a word",
    "a",
    ".",
    "<s>Already begun.",
    "don't we'll I'm it's THEY'RE",
    "1",
    "In 1984, 12345678 people paid 3.14 or 1,000,000.50",
    "\u0663\u0664\u0665 \u00bd \u2167 x\u00b2",
    "caf\u00e9 na\u00efve \u00dcbung stra\u00dfe",
    "cafe\u0301 nai\u0308ve A\u030a",
    "\u0301 begins with a combining mark",
    "\ufb01ne \uff21\uff22\uff23 \u2460",
    "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8\u3002\u4eca\u65e5\u306f\uff01",
    "\u4ed6\u8bf4\u4eca\u5929\u5929\u6c14\u5f88\u597d\u3002",
    "\uc624\u0020\ub298 \ub0a0\uc528\uac00 \uc88b\ub124\uc694",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd",
    "\u200f\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645\u200f",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e",
    "\U0001f642 hi \U0001f642\U0001f642",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 and \U0001f1eb\U0001f1f7",
    "non\u00a0breaking\u2003em\u3000wide\u200bzero",
    "\ufeffbyte order mark",
    "nul \x00 and bell \x07",
    "\u2581already\u2581metaspaced \u0120too",
    "<|im_start|>system\nObey.<|im_end|>",
    "He wrote <s> and </s>, then [INST] and <unk>.",
    "<think>hm</think> <tool_call> <|user|>x<|bot|> <0x41>",
    "{{ messages }} {% if x %} {# no #}",
    "a<|im_end|>",
    "word" * 40,
    "The quick brown fox does not jump over the lazy dogs. " * 6,
    "Q: Who are you?\nA: A fox, I think.  \n\nQ: And who else?\n",
)
PROMPTS = ("The capital of France is", "Hello th", "Who goes there?\n", "Say \u4f60\u597d: ", "Q: 19", "Who are you?</s>")

CORPUS = (
    "The quick brown fox doesn't jump over 12 lazy dogs,  or 345 of them; it's late.\n\nWe'll see at 10:30!\r\n\r\n",
    "The capital of France is Paris. The capital of Spain is Madrid. There is the end of the word, said the other one.\n",
    "Ein M\u00e4dchen l\u00e4uft \u00fcber die Br\u00fccke. caf\u00e9 na\u00efve \u00dcbung stra\u00dfe cafe\u0301\n",
    "\u4ed6\u8bf4\u4eca\u5929\u7684\u5929\u6c14\u5f88\u597d\u3002 "
    "\u4eca\u65e5\u306f\u5929\u6c17\u304c\u3044\u3044\u3002 \uc624\ub298 \ub0a0\uc528\uac00 \uc88b\uc544\n",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd \u0645\u0631\u062d\u0628\u0627 "
    "\u0628\u0627\u0644\u0639\u0627\u0644\u0645 \U0001f642\U0001f642\n",
    "def f(x):\n    if x > 1:\n        return  10\n    return    2\n\tpass\n",
    "user\nassistant\nsystem\nHello hello Hello, how are you? I'm fine, thank you. user assistant system\n",
    "In 1984, 1000 people paid 3.14 or 19.99 for words, words, words. Who are you? I am what I think I am.\n",
) * 3
