"""What an evaluation asks its models to score, block by block of the score table, and their answers.

The estimator scores every set of replies in every context of its category, with reasoning, without, and without context. The
policy scores its own samples in every context. For bounds (docs/protocol.md, rule 13) both also score the replies of the
reference in the contexts of each shifted category, and the reverse. Of several members of an estimator each is asked about the
records that it may score; what is compared within folds alone is asked within folds alone (docs/protocol.md, rule 22). Answers
are cut to the horizon (docs/protocol.md, rule 21).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from remid_jax.dialogues.manifest import Category as CategoryDesign
from remid_jax.dialogues.manifest import Setting
from remid_jax.dialogues.parsing import Parsed
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.records import Record, has_golden
from remid_jax.information.emi import half_a_turn
from remid_jax.information.score_table import SCORERS, SOURCES, blocks_of
from remid_jax.information.self_information import unavailable
from remid_jax.models.tokenizer import Tokenizer
from remid_jax.roles.members import Member, Records, folds
from remid_jax.scoring.engine import Report, ScoringEngine
from remid_jax.scoring.generation import Sample
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.texts import Answer, Reply, chat_ids, responder_ids, scored_answer, token_sources
from remid_jax.shifts.bounds import FEWEST_SAMPLES
from remid_jax.shifts.fold_blocks import fold_blocks, unbounded
from remid_jax.shifts.sections import MOST_CONTEXTS

GOLDEN, GOLDEN_OTHER = "golden", "golden_other"

Folds = tuple[np.ndarray, np.ndarray]
"""The fold of each context and of each replier."""


@dataclasses.dataclass(frozen=True)
class Question:
    """A block of the score table: `answers` [columns] after each of `prefixes` [rows], summed to nats and reshaped.

    With `at`, indices along each of its axes, it is only the part of a block of that `shape` that stands there. `by_source` are
    blocks of the same answers parted by where their tokens come from: {name: the source of each token of each answer}. With
    `paired`, each answer stands after the prefix at its own place alone. `repeated`: an answer that a question before it asks
    for after the same prefix is not asked for again.
    """

    name: str
    prefixes: Sequence[Sequence[int]]
    answers: Sequence[Sequence[int]]
    group: str
    shape: tuple[int, ...]
    at: tuple[Sequence[int], ...] | None = None
    by_source: Mapping[str, Sequence[np.ndarray]] = dataclasses.field(default_factory=dict)
    paired: bool = False
    repeated: bool = False

    @property
    def size(self) -> int:
        """How many tokens are scored."""
        return sum(map(len, self.answers)) * (1 if self.paired else len(self.prefixes))

    def requests(self) -> list[Request]:
        continuations = [Continuation(answer) for answer in self.answers]
        if self.paired:
            pairs = zip(self.prefixes, continuations, strict=True)
            return [Request(prefix, [continuation], self.group) for prefix, continuation in pairs]
        return [Request(prefix, continuations, self.group) for prefix in self.prefixes]

    def blocks(self, scores: Sequence[Sequence[np.ndarray]]) -> Iterator[tuple[str, np.ndarray]]:
        """The blocks of the log-probabilities of each token of the answers (rows of columns), in nats, float64."""
        yield self.name, self._placed(np.array([[logs.sum() for logs in row] for row in scores]))
        for name, sources in self.by_source.items():
            parted = [[_sums_by_source(logs, of) for logs, of in zip(row, sources, strict=True)] for row in scores]
            yield name, self._placed(np.array(parted), (len(SOURCES),))

    def _placed(self, sums: np.ndarray, more: tuple[int, ...] = ()) -> np.ndarray:
        """The sums [rows, columns, ...] as a block of the question's shape; NaN where it was not asked for."""
        if self.at is None:
            return sums.reshape(*self.shape, *more)
        whole = np.full((*self.shape, *more), np.nan)
        whole[np.ix_(*self.at)] = sums.reshape(*(len(axis) for axis in self.at), *more)
        return whole


def _sums_by_source(logs: np.ndarray, sources: np.ndarray) -> np.ndarray:
    return np.bincount(sources, weights=logs, minlength=len(SOURCES))


def ask(engine: ScoringEngine, questions: Sequence[Question], report: Report) -> dict[str, np.ndarray]:
    """Log-likelihoods, nats, float64, of every question, whole and by source, from one plan; questions of one name fill one
    block."""
    requests, places = asked_once(questions)
    scores = engine.score(requests, report)
    answers: dict[str, np.ndarray] = {}
    for question, rows in zip(questions, places, strict=True):
        logs = [[scores[request][column].astype(np.float64) for request, column in row] for row in rows]
        for name, block in question.blocks(logs):
            before = answers.get(name)
            answers[name] = block if before is None else np.where(np.isnan(before), block, before)
    return answers


def asked_once(questions: Sequence[Question]) -> tuple[list[Request], list[list[list[tuple[int, int]]]]]:
    """(requests, where each answer of each row of each question stands among them: request and continuation).

    Only `repeated` questions take answers of questions before them, so that none changes what other questions ask for.
    """
    requests: list[Request] = []
    places: list[list[list[tuple[int, int]]]] = []
    known: dict[tuple[int, ...], dict[tuple[int, ...], tuple[int, int]]] = {}
    for question in questions:
        rows = []
        for request in question.requests():
            after = known.setdefault(tuple(request.prefix), {})
            answers = [tuple(continuation.ids) for continuation in request.continuations]
            new = [k for k, answer in enumerate(answers) if not (question.repeated and answer in after)]
            row = {k: (len(requests), column) for column, k in enumerate(new)}
            for k, place in row.items():
                after.setdefault(answers[k], place)
            if new:
                requests.append(dataclasses.replace(request, continuations=[request.continuations[k] for k in new]))
            rows.append([row.get(k) or after[answer] for k, answer in enumerate(answers)])
        places.append(rows)
    return requests, places


def pooled(answers: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The mean of what several members answered, entry by entry; NaN where none was asked."""
    result = {}
    for name in dict.fromkeys(name for of_member in answers for name in of_member):
        blocks = np.stack([of_member[name] for of_member in answers if name in of_member])
        asked = ~np.isnan(blocks)
        with np.errstate(invalid="ignore"):
            result[name] = np.where(asked, blocks, 0.0).sum(axis=0) / asked.sum(axis=0)
    return result


@dataclasses.dataclass(frozen=True)
class Estimator:
    """Asks a member about golden and policy replies, under prompts with the core features of its reasoning or without.

    Prompts and replies that come up again, as those of a reference do in every block with it, are encoded once. Where `scorers`
    are not both, golden replies are scored without reasoning in their own contexts: so it is known what reasoning does to them.
    """

    prompts: Prompts
    tokenizer: Tokenizer
    member: Member
    features: Mapping[str, Parsed]
    scorers: Sequence[str] = SCORERS
    horizon: int | None = None
    _answers: dict[Reply, Answer] = dataclasses.field(default_factory=dict, repr=False)
    _contexts: dict[tuple[str, str], list[int]] = dataclasses.field(default_factory=dict, repr=False)

    def answer(self, reply: Reply) -> Answer:
        if reply not in self._answers:
            self._answers[reply] = scored_answer(self.tokenizer, reply, self.horizon)
        return self._answers[reply]

    def contexts(self, records: Sequence[Record], scorer: str) -> list[list[int]]:
        for record in records:
            if (record.id, scorer) not in self._contexts:
                features = self.features[record.id].text if scorer == "reasoned" else None
                self._contexts[record.id, scorer] = responder_ids(self.tokenizer, self.prompts, record, features)
        return [self._contexts[record.id, scorer] for record in records]

    def lengths(
        self, category: str, answers: Mapping[str, Sequence[Answer]], sources: Mapping[str, Sequence[np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """The arrays of tokens, of all sources and by source, and of characters of every set of replies."""
        arrays = {}
        for name, said in answers.items():
            arrays[f"{category}/tokens/{name}"] = np.array([len(answer.ids) for answer in said])
            arrays[f"{category}/chars/{name}"] = np.array([answer.chars for answer in said])
        for name, of_replies in sources.items():
            counts = [np.bincount(of_reply, minlength=len(SOURCES)) for of_reply in of_replies]
            arrays[f"{category}/tokens_by_source/{name}"] = np.array(counts)
        return arrays

    def sources(
        self, records: Sequence[Record], answers: Mapping[str, Sequence[Answer]], blocks: Sequence[np.ndarray]
    ) -> dict[str, list[np.ndarray]]:
        """Where the tokens of each reply of every set come from, by the context it is given in.

        `golden_other` stands in the order of the golden replies: what of reply j comes from the context that hears it.
        """

        def of(name: str, hearers: Sequence[Record]) -> list[np.ndarray]:
            return [
                token_sources(self.tokenizer, answer.ids, record) for answer, record in zip(answers[name], hearers, strict=True)
            ]

        sources = {name: of(name, records) for name in answers}
        if GOLDEN in answers:
            sources[GOLDEN_OTHER] = of(GOLDEN, [records[hearer] for hearer in np.argsort(half_a_turn(blocks))])
        return sources

    def own(
        self,
        category: str,
        records: Sequence[Record],
        answers: Mapping[str, Sequence[Answer]],
        sources: Mapping[str, Sequence[np.ndarray]],
    ) -> Iterator[Question]:
        n, nowhere = len(records), responder_ids(self.tokenizer, self.prompts, None, None)
        mine = self.member.mine(records)
        if not mine:
            return
        contexts = {scorer: self.contexts([records[i] for i in mine], scorer) for scorer in SCORERS}
        if len(self.scorers) < len(SCORERS) and GOLDEN in answers:
            ids = [answers[GOLDEN][i].ids for i in mine]
            yield Question(f"{category}/unreasoned/{GOLDEN}", contexts["plain"], ids, category, (n,), (mine,), paired=True)
        for name, said in answers.items():
            ids = [said[i].ids for i in mine]
            parted = {of: [sources[of][i] for i in mine] for of in ((GOLDEN, GOLDEN_OTHER) if name == GOLDEN else (name,))}
            for scorer in self.scorers:
                for array, prefixes, shape in (("loglik", contexts[scorer], (n, n)), ("marginal", [nowhere], (n,))):
                    by_source = {f"{category}/{array}_by_source/{scorer}/{of}": codes for of, codes in parted.items()}
                    at = (mine,) * len(shape)
                    yield Question(f"{category}/{array}/{scorer}/{name}", prefixes, ids, category, shape, at, by_source)

    def cross(
        self, name: str, contexts: Sequence[Record], repliers: Sequence[Record], folds: Folds, group: str
    ) -> Iterator[Question]:
        """Asks about the golden replies of one category in the contexts of another, fold by fold."""
        for _, of_contexts, of_repliers in fold_blocks(*folds):
            rows = [int(of_contexts[i]) for i in self.member.mine([contexts[i] for i in of_contexts])]
            columns = [int(of_repliers[j]) for j in self.member.mine([repliers[j] for j in of_repliers])]
            if not rows or not columns:
                continue
            answers = [self.answer(Reply(repliers[j].golden)).ids for j in columns]
            shape = (len(contexts), len(repliers))
            for scorer in self.scorers:
                prefixes = self.contexts([contexts[i] for i in rows], scorer)
                yield Question(f"{name}/golden/{scorer}", prefixes, answers, group, shape, (rows, columns))


@dataclasses.dataclass(frozen=True)
class Policy:
    """Asks about the exact ids of the policy's own samples, under its own prompts, each of which is encoded once."""

    prompts: Prompts
    tokenizer: Tokenizer
    samples: Mapping[str, Sequence[Sample]]
    horizon: int | None = None
    _contexts: dict[str, list[int]] = dataclasses.field(default_factory=dict, repr=False)

    def about(self, records: Sequence[Record], category: str) -> dict[str, np.ndarray]:
        """The arrays of tokens and truncations of a category's samples."""
        drawn = [self.samples[record.id] for record in records]
        return {
            f"{category}/self/tokens": np.array([[len(s.ids[: self.horizon]) for s in row] for row in drawn]),
            f"{category}/self/truncated": np.array([[self._goes_on(s) for s in row] for row in drawn]),
        }

    def _goes_on(self, sample: Sample) -> bool:
        """Whether the end of the sample is not among what is scored."""
        return sample.finish == "length" or len(sample.ids) > (self.horizon or len(sample.ids))

    def questions(
        self, name: str, contexts: Sequence[Record], repliers: Sequence[Record], folds: Folds, group: str
    ) -> Iterator[Question]:
        """Asks about the samples of `repliers` in `contexts`, fold by fold."""
        count = len(self.samples[repliers[0].id])
        shape = (len(contexts), len(repliers), count)
        for _, rows, columns in fold_blocks(*folds):
            for record in (contexts[i] for i in rows):
                if record.id not in self._contexts:
                    self._contexts[record.id] = chat_ids(self.tokenizer, self.prompts.policy(record))
            prefixes = [self._contexts[contexts[i].id] for i in rows]
            answers = [sample.ids[: self.horizon] for j in columns for sample in self.samples[repliers[j].id]]
            yield Question(name, prefixes, answers, group, shape, (rows.tolist(), columns.tolist(), range(count)))


def questions(
    records: Records,
    categories: Mapping[str, CategoryDesign],
    sets: Mapping[str, Mapping[str, Sequence[Reply]]],
    estimators: Sequence[Estimator],
    policy: Policy | None,
) -> tuple[dict[str, np.ndarray], list[list[Question]], list[Question]]:
    """(arrays that need no model, questions for each estimator, questions for the policy) of a whole evaluation.

    `sets` are the sets of replies to be scored, by category and name, a reply a record.
    Without a horizon samples of which too many are cut off would give no estimate, so they are not worth their scores. Blocks
    between categories grow with the square of their contexts, so above `MOST_CONTEXTS` in a fold they are not asked for, nor
    where a fold is too small for a bound or golden replies are missing.
    """
    arrays = folds(records, [estimator.member for estimator in estimators])
    of_estimators: list[list[Question]] = [[] for _ in estimators]
    of_policy: list[Question] = []
    for category, members in records.items():
        answers = {name: [estimators[0].answer(reply) for reply in said] for name, said in sets[category].items()}
        arrays[f"{category}/record"] = np.array([record.id for record in members])
        arrays[f"{category}/lineage"] = np.array([record.lineage for record in members])
        for kind in members[0].clusters:
            arrays[f"{category}/cluster/{kind}"] = np.array([record.clusters[kind] for record in members])
        arrays[f"{category}/shift"] = np.array(categories[category].shift or "")
        arrays[f"{category}/reference"] = np.array(categories[category].reference or "")
        if (dial := categories[category].dial) is not None:
            arrays |= _of_dial(category, dial)
        if estimators[0].horizon is not None:
            arrays[f"{category}/horizon"] = np.array(estimators[0].horizon)
        sources = estimators[0].sources(members, answers, blocks_of(arrays.get(f"{category}/fold"), len(members)))
        arrays |= estimators[0].lengths(category, answers, sources)
        for estimator, asked in zip(estimators, of_estimators, strict=True):
            asked += _repeated(estimator.own(category, members, answers, sources), dial)
        if policy is not None:
            arrays |= policy.about(members, category)
    if policy is None:
        return arrays, of_estimators, of_policy
    for category, members in records.items():
        if unavailable(arrays[f"{category}/self/truncated"], policy.horizon) is not None:
            continue
        own = _folds(arrays, category)
        dial = categories[category].dial
        of_policy += _repeated(policy.questions(f"{category}/self/loglik", members, members, (own, own), category), dial)
        reference = categories[category].reference
        if reference is None or not _bounded(arrays, category, reference, policy.horizon):
            continue
        theirs = records[reference]
        if not has_golden([*members, *theirs]):
            continue
        # In the reference's contexts the rows of all categories form one group: so its prompts are encoded once for all, and an
        # edit here moves none of the reference's own rows.
        others = _folds(arrays, reference)
        visits = (
            ("of_id", members, theirs, (own, others), category),
            ("in_id", theirs, members, (others, own), f"in {reference}" if dial is None else category),
        )
        for block, contexts, repliers, folds_of, group in visits:
            for estimator, asked in zip(estimators, of_estimators, strict=True):
                asked += _repeated(estimator.cross(f"{category}/{block}", contexts, repliers, folds_of, group), dial)
            of_policy += _repeated(policy.questions(f"{category}/{block}/self", contexts, repliers, folds_of, group), dial)
    return arrays, of_estimators, of_policy


def _repeated(questions: Iterable[Question], dial: Setting | None) -> list[Question]:
    """The questions of a category; those of one that a dial made of others' records repeat much of what these are asked."""
    return [dataclasses.replace(question, repeated=dial is not None) for question in questions]


def _of_dial(category: str, dial: Setting) -> dict[str, np.ndarray]:
    arrays = {f"{category}/dial": np.array(dial.curve)}
    if dial.position is not None:
        arrays[f"{category}/position"] = np.array(dial.position)
    if dial.no_golden is not None:
        arrays[f"{category}/no_golden"] = np.array(dial.no_golden)
    return arrays


def _folds(arrays: Mapping[str, np.ndarray], category: str) -> np.ndarray:
    return arrays.get(f"{category}/fold", np.zeros(len(arrays[f"{category}/record"]), np.int64))


def golden_of_another(arrays: Mapping[str, np.ndarray], categories: Iterable[str]) -> dict[str, np.ndarray]:
    """Returns the arrays of the control that says golden replies of other contexts, from those of the golden ones."""
    found: dict[str, np.ndarray] = {}
    for category in categories:
        if f"{category}/tokens/{GOLDEN}" not in arrays:
            continue
        records = len(arrays[f"{category}/record"])
        order = half_a_turn(blocks_of(arrays.get(f"{category}/fold"), records))
        parted = {f"{category}/tokens_by_source/{GOLDEN_OTHER}": arrays[f"{category}/tokens_by_source/{GOLDEN_OTHER}"]}
        names = [f"{array}/{scorer}" for array in ("loglik", "marginal") for scorer in SCORERS]
        for stem in ("tokens", "chars", *(name for name in names if f"{category}/{name}/{GOLDEN}" in arrays)):
            whole = arrays[f"{category}/{stem}/{GOLDEN}"]
            found[f"{category}/{stem}/{GOLDEN_OTHER}"] = whole[:, order] if stem.startswith("loglik") else whole[order]
            array, _, scorer = stem.partition("/")
            if scorer:
                name = f"{category}/{array}_by_source/{scorer}/{GOLDEN_OTHER}"
                parted[name] = arrays[name]
        found |= {name: of[:, order] if "/loglik_by_source/" in name else of[order] for name, of in parted.items()}
    return found


def _bounded(arrays: Mapping[str, np.ndarray], category: str, reference: str, horizon: int | None) -> bool:
    """Whether a bound can come of the category's blocks with its reference."""
    if unavailable(arrays.get(f"{reference}/self/truncated"), horizon) is not None:
        return False
    of_both = [_folds(arrays, name) for name in (reference, category)]
    if unbounded(reference, *of_both) is not None:
        return False
    largest = max(int(np.unique(folds_of, return_counts=True)[1].max()) for folds_of in of_both)
    samples = min(arrays[f"{name}/self/tokens"].shape[1] for name in (reference, category))
    return largest <= MOST_CONTEXTS and samples >= FEWEST_SAMPLES
