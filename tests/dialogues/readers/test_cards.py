import base64
import io
import json
import struct
import zlib

import pytest
from PIL import Image, PngImagePlugin
from refusal import refusal

from remid_jax.dialogues.readers.cards import Card, read_card
from remid_jax.dialogues.reading import read_benchmark

FIELDS = {
    "name": "Brill",
    "description": "{{char}} sails.",
    "personality": "solemn {{// do not say so }}",
    "scenario": " ",
    "first_mes": "Ahoy!",
    "mes_example": "<START>\n{{user}}: Safe?",
}
CHARACTER = {
    "name": "Brill",
    "description": "{{char}} sails.",
    "personality": "solemn",
    "examples": "<START>\n{{user}}: Safe?",
}


def card(version, **changes):
    fields = FIELDS | changes
    if version == 1:
        return fields
    extensions = {"character_book": None, "tags": [], "extensions": {"depth": 4}}
    return {"spec": f"chara_card_v{version}", "spec_version": f"{version}.0", "data": fields | extensions}


def encoded(value):
    return base64.b64encode(json.dumps(value).encode()).decode()


def png(path, after=False, **chunks):
    """A picture with chunks of text, before it or, by hand, after it."""
    info = PngImagePlugin.PngInfo()
    for key, text in chunks.items():
        info.add_text(key, text)
    buffer = io.BytesIO()
    Image.new("L", (2, 2)).save(buffer, "PNG", pnginfo=None if after else info)
    data = buffer.getvalue()
    if after:
        for key, text in chunks.items():
            body = b"tEXt" + key.encode() + b"\0" + text.encode()
            chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
            data = data[:-12] + chunk + data[-12:]
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("version", [1, 2, 3])
def test_every_version_as_json_and_as_png(tmp_path, version):
    (tmp_path / "c.json").write_text(json.dumps(card(version)))
    expected = Card(CHARACTER, "Brill")
    assert read_card(tmp_path / "c.json") == expected
    for key in ("chara", "ccv3"):
        for after in (False, True):
            assert read_card(png(tmp_path / "c.png", after, **{key: encoded(card(version))})) == expected
    assert list(read_card(tmp_path / "c.json").character) == list(CHARACTER)


def test_a_nickname_is_what_char_stands_for_and_version_3_goes_first(tmp_path):
    path = png(tmp_path / "c.png", chara=encoded(card(2)), ccv3=encoded(card(3, nickname="B", description="New.")))
    assert read_card(path) == Card(CHARACTER | {"description": "New."}, "B")


def test_faults_of_the_content(tmp_path):
    path = tmp_path / "c.json"

    def fault(value):
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return refusal(read_card, path).replace(f"{path}: ", "")

    bad = {"spec": "chara_card_v4", "data": {"description": 3, "personality": None, "name": ["B"], "nickname": 1}}
    assert fault(bad).split("; ") == [
        "spec: 'chara_card_v4' is none of chara_card_v2, chara_card_v3 (did you mean 'chara_card_v3'?)",
        "name: must be a text, not a list",
        "nickname: must be a text, not a number",
        "description: must be a text, not a number",
        "personality: must be a text, not null",
    ]
    assert fault({"description": "x"}) == "name: missing"
    assert fault(card(1, name=" ")) == "name: empty"
    nobody = "describes nobody: description, personality, scenario and mes_example are empty"
    assert fault({"name": "B", "first_mes": "Ahoy!"}) == nobody
    assert fault({"spec": "chara_card_v2"}) == "data: missing"
    assert fault({"spec": "chara_card_v2", "data": []}) == "data: must be an object, not a list"
    assert fault([1]) == "a character card must be an object, not a list"
    anew = "{{Random:a, b}} means another text each time: write the one that you mean"
    assert fault(card(2, mes_example="x {{Random:a, b}}")) == f"mes_example: {anew}"
    assert fault('{"name": }').startswith("line 1, column 10: broken JSON")


def test_faults_of_the_picture(tmp_path):
    path = tmp_path / "c.png"
    nothing = f"{path}: holds no character card: it would be in a chunk ccv3 or chara, which some tools strip"
    assert refusal(read_card, png(path)) == nothing
    assert refusal(read_card, png(path, comment=encoded(card(2)))) == nothing
    assert refusal(read_card, png(path, chara="{not base64}")).startswith(f"{path}: chunk chara: is no base64 (")
    whole = png(path, chara=encoded(card(2))).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert refusal(read_card, path).startswith(f"{path}: is a broken PNG (")
    png(path, ccv3=base64.b64encode(b"{").decode())
    assert refusal(read_card, path).startswith(f"{path}: line 1, column 2: broken JSON")
    assert refusal(read_card, png(path, ccv3=encoded(card(3, name="")))) == f"{path}: name: empty"
    missing = tmp_path / "missing.png"
    assert refusal(read_card, missing) == f"{missing}: cannot be read (No such file or directory): check the path"


def chat(identity, text="Hello, {{char}}.", **changes):
    messages = [{"role": "user", "content": text}, {"role": "assistant", "content": "Ahoy, {{user}}!"}]
    return {"id": identity, "messages": messages} | changes


def test_cards_of_records(tmp_path):
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "brill.json").write_text(json.dumps(card(2)))
    path = tmp_path / "chats.jsonl"
    rows = [
        chat("a", agent_character="cards/brill.json", user_name="Ana"),
        chat("b", agent_character={"name": "Bo", "notes": ["knows {{user}}"]}),
        chat("c"),
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    default = png(tmp_path / "d.png", chara=encoded(card(1, name="Dee")))
    first, second, third = read_benchmark(path, character=default).test["all"]
    assert first.agent_character["description"] == "Brill sails."
    assert first.agent_character["examples"] == "<START>\nAna: Safe?"
    assert (first.dialogue[0].text, first.golden) == ("Hello, Brill.", "Ahoy, Ana!")
    assert second.agent_character == {"name": "Bo", "notes": ["knows User"]}
    assert (second.dialogue[0].text, second.golden) == ("Hello, Bo.", "Ahoy, User!")
    assert (third.agent_character["name"], third.dialogue[0].text) == ("Dee", "Hello, Dee.")


def test_faults_of_records_with_cards(tmp_path):
    path = tmp_path / "chats.jsonl"
    rows = [
        chat("a", agent_character="nowhere.png"),
        chat("b", agent_character="Brill, who sails"),
        chat("c", agent_character={"name": " ", "job": "sailor"}),
        chat("d", agent_character={"job": "sailor"}, text="Hello."),
        chat("e", agent_character={"job": ""}),
        chat("f", agent_character=3),
        chat("g"),
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    places = {row["id"]: f"{path}: line {n} ('{row['id']}'): agent_character: " for n, row in enumerate(rows, 1)}
    assert refusal(read_benchmark, path).split("; ") == [
        f"{places['a']}{tmp_path}/nowhere.png: cannot be read (No such file or directory): check the path",
        f"{places['b']}must be an object, or the path of a character card (.png or .json), not a text",
        f'{places["c"]}has no "name" to stand for {{{{char}}}}: add one',
        f"{places['e']}empty",
        f"{places['f']}must be an object, or the path of a character card (.png or .json), not a number",
        f"{places['g']}missing: add it (a chat has it as system message), or name a character card for all rows",
    ]
    assert refusal(read_benchmark, path, character=tmp_path / "x.png").startswith(f"{tmp_path}/x.png: cannot be read")
