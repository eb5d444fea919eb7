"""What one run can be told: `advbench attack`, a cell of a sweep, and a point of a curve."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from advbench.errors import SpecError
from advbench.names.grammar import as_detector, as_head, reject_word
from advbench.results.judging import JUDGED, MAJORITY, Judge

from . import shared
from .adapting import EPISODIC, STREAM, with_adaptation
from .option import option
from .parse import BatchSizeWord, joined_to, parse_batch_size, parse_judge, parse_share
from .subject import USUAL_ROOT, NormalizationWord, NormName, SpaceName, SubjectOptions, subject_of

if TYPE_CHECKING:
    from advbench.reports.style import Style

PrecisionName = Literal["fp32", "bf16", "auto"]

_ATTACK: Final = "Defense and attack"


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Everything that one run is told; None where a default is to be found.

    Each field is an option of `advbench attack` and, where `in_files` says so, a key of a sweep's file.

    Args:
        command: the words that started the run, for its record.
        settings_file: what of it came from which settings file, for its record.

    Raises:
        SpecError: settings that do not fit each other.
    """

    checkpoint: Path | None = option(
        None,
        help="Weights: .pt, .pth, .th, .safetensors; TorchScript and .pt2 with --trust-program.",
        panel=shared.MODEL,
        shown="the model's own",
    )
    model: str | None = option(
        None,
        like=shared.NAMED_MODEL,
        help="NAME, timm:NAME, hf:FOLDER, hf:owner/name, package.module:factory or file.py:factory.",
    )
    members: tuple[Path, ...] = option((), like=shared.MEMBERS)
    weights: str | None = option(None, like=shared.WEIGHTS)
    mean: str | None = option(None, like=shared.MEAN)
    std: str | None = option(None, like=shared.STD)
    normalization: NormalizationWord | None = option(None, like=shared.NORMALIZATION)
    trust_program: bool = option(False, like=shared.TRUST_PROGRAM)
    smooth: str | None = option(
        None,
        help="Show the model each image under noise, sigma=0.25,draws=100 (randomized smoothing): the mean "
        "of its logits, or with --defense ensemble-vote:alpha=0.001 its votes, which may abstain.",
        panel=shared.MODEL,
        shown="no",
    )
    random_model: bool = option(
        False,
        help="The model draws random numbers itself: seed them for each image and draw, for --eot and "
        "--judge. It sees one image at a time, unless its forward pass takes draws.",
        panel=shared.MODEL,
    )
    space: SpaceName | None = option(None, like=shared.SPACE)
    black_box: bool = option(
        False,
        help="The model is a function on NumPy arrays, an estimator or an endpoint, of which only answers "
        "are known: what it takes and gives is found out. It has no gradient but a --surrogate's.",
        panel=shared.MODEL,
    )
    black_box_form: str | None = option(
        None,
        help="What it takes and gives instead, or parts of it: nhwc, nchw, or hwc, chw for one image at a "
        "time; float or uint8; scores, probabilities, log-probabilities, labels, logit or probability.",
        panel=shared.MODEL,
        shown="found out on the first calls",
    )
    max_queries: int | None = option(
        None,
        help="Images that a black box may be shown in all: the run then stops, with exit code 1, and the "
        "same command with more goes on.",
        panel=shared.MODEL,
        least=1,
        shown="any number",
        changes_numbers=False,
    )
    max_rate: int | None = option(
        None,
        help="Calls of a black box in a second, at most.",
        panel=shared.MODEL,
        least=1,
        shown="any number",
        changes_numbers=False,
    )
    retries: int = option(
        3,
        help="How often a call of a black box that fails is repeated.",
        panel=shared.MODEL,
        least=0,
        most=1000,
        changes_numbers=False,
    )
    retry_wait: int = option(
        1,
        help="Seconds before the first repetition; each further wait is twice as long.",
        panel=shared.MODEL,
        least=0,
        most=3600,
        changes_numbers=False,
    )
    surrogate: str | None = option(None, like=shared.SURROGATE)
    source: str | None = option(None, like=shared.SOURCE)
    dataset: str | None = option(None, like=shared.DATASET)
    data_root: Path = option(USUAL_ROOT, like=shared.DATA_ROOT)
    split: str = option("test", help="Which part of it.", panel=shared.DATA)
    download: bool = option(
        False, like=shared.DOWNLOAD, help="Fetch it, or a timm: or hf: model's files, where they are missing."
    )
    image_size: int | None = option(None, like=shared.IMAGE_SIZE)
    channels: int | None = option(None, like=shared.CHANNELS)
    image_column: str | None = option(None, like=shared.IMAGE_COLUMN)
    label_column: str | None = option(None, like=shared.LABEL_COLUMN)
    classes: Path | None = option(None, like=shared.CLASSES)
    class_index: Path | None = option(None, like=shared.CLASS_INDEX)
    limit: int | None = option(
        None,
        help="A seeded, class-balanced sample of N images.",
        panel=shared.DATA,
        least=1,
        shown="all",
    )
    first: int | None = option(
        None, help="The first N images instead.", panel=shared.DATA, least=1, shown="all"
    )
    defenses: tuple[str, ...] = option(
        (),
        word="--defense",
        help="NAME[:key=value,...][@place], chained with '+'; repeat it for more rows. A place is input, "
        "logits, or a module's name.",
        panel=_ATTACK,
        shown="none",
    )
    head: str | None = option(
        None,
        help="Classify by what passes a place instead of the rest of the network: file.py:head or "
        "package.module:head@place, from features to scores or labels, a fitted scikit-learn estimator, or a "
        "factory of these; at the logits by default. Joins each defense.",
        panel=_ATTACK,
        shown="none",
        in_files=False,
    )
    detector: str | None = option(
        None,
        help="Refuse images whose score is too high: file.py:score or package.module:score, from images to "
        "scores, or a factory with a parameter 'model'; @place reads what passes there. Joins each defense.",
        panel=_ATTACK,
        shown="none",
        once="several stand in a chain: --defense a@refuse+b@refuse",
        in_files=False,
    )
    fpr: float | None = option(
        None,
        help="Share of clean images that a detector may refuse: fixes its threshold on clean images that are "
        "not attacked.",
        panel=_ATTACK,
        shown="the detector's own threshold, or 0.05",
        read=parse_share,
    )
    reject_class: str | None = option(
        None,
        help="The model's output that refuses an image, or nan where it answers NaN; joins each defense.",
        panel=_ATTACK,
        shown="none",
        once="a model has one class that refuses",
    )
    episodic: str | None = option(None, like=EPISODIC)
    stream: str | None = option(None, like=STREAM)
    bpda: bool = option(False, help="Also attack with a substitute in the backward pass.", panel=_ATTACK)
    ladder: bool = option(
        False,
        help="All rungs: static, shattered, bpda, gradient-free, and the worst of them.",
        panel=_ATTACK,
    )
    tests: tuple[str, ...] = option(
        (),
        word="--test",
        help="binarization: also attack a readout that has an adversarial example in every ball, and say how "
        "often the attack finds it; auto: where that adds a tenth to the run at most. Implies --ladder.",
        panel=_ATTACK,
        shown="none",
    )
    fail_on: str = option(
        "",
        help="Exit code 1 where a row's verdict is one of these: masked, unreliable, "
        "not-enough-evidence, not-robust (of the defenses, where there are any); implies --ladder.",
        panel=shared.OUTPUT,
        shown="none",
        in_files=False,
    )
    min_robust: float | None = option(
        None,
        help="Exit code 1 where less than this fraction of the images stands on every rung, behind the "
        "defenses if there are any, or where the verdict is masked or unreliable; implies --ladder.",
        panel=shared.OUTPUT,
        shown="none",
        in_files=False,
    )
    rungs: str = option(
        "",
        help="Rungs beside clean and shattered: static, bpda, gradient_free, label_only, worst.",
        panel=_ATTACK,
        shown="none",
    )
    gradient_free: str = option(
        "square:queries=1000",
        help="Attack of the gradient-free rung.",
        panel=_ATTACK,
        shown="square, 1000 queries",
    )
    label_only: str | None = option(
        None,
        help="Attack of the label-only rung, which it adds: hard-label:queries=500; for models whose scores "
        "may lie.",
        panel=_ATTACK,
        shown="the rung is not run; hard-label, 500 queries with --rungs label_only",
    )
    substitutes: tuple[str, ...] = option(
        (),
        word="--substitute",
        help="Substitute of --bpda, which it implies: NAME (identity, exact, smooth, soft, learned, "
        "finite-difference, skip), package.module:function or file.py:function, for a chain a+b; repeat "
        "it to search among several; or search.",
        panel=_ATTACK,
        shown="what the defense lists; search where it lists several",
    )
    calibration: int = option(64, help="Images on which a search grades substitutes.", panel=_ATTACK, least=1)
    attacks: tuple[str, ...] = option(
        ("pgd",),
        word="--attack",
        help="NAME[:key=value,...]; repeat it for more rows.",
        panel=_ATTACK,
        shown="pgd",
    )
    norm: NormName = option("linf", help="Norm that bounds the perturbation.", panel=_ATTACK)
    eps: str | None = option(
        None,
        help="Its radius in pixel units: 8/255 or 0.03; several, 2/255,4/255,inf, for a curve.",
        panel=_ATTACK,
        shown=shared.EPS_DEFAULT,
    )
    steps: int | None = option(None, help="Gradient steps.", panel=_ATTACK, least=1, shown="the attack's: 40")
    step_size: str | None = option(None, help="Step in pixel units.", panel=_ATTACK, shown="2.5 eps / steps")
    restarts: int | None = option(
        None, help="Random restarts.", panel=_ATTACK, least=1, shown="the attack's: 1"
    )
    random_start: bool = option(
        True,
        word="--random-start/--no-random-start",
        help="Begin at a random point of the ball.",
        panel=_ATTACK,
    )
    eot: int = option(
        20,
        help="Draws of a random defense behind each gradient (expectation over transformation).",
        panel=_ATTACK,
        least=1,
    )
    judge_draws: int = option(
        JUDGED,
        help="Draws of a random defense in which an example is judged; the majority counts.",
        panel=_ATTACK,
        least=1,
    )
    judge: str | None = option(
        None,
        help="How these count: majority; mean, over the draws; any:N, an image falls if one of N "
        "submissions fools; fixed-seed, with the very draws that the attack saw.",
        panel=_ATTACK,
        shown="majority",
        read=parse_judge,
    )
    seed: int = option(0, help="Seed of every draw.", panel=_ATTACK, least=0, most=2**63 - 1)
    fast: bool = option(
        True,
        word="--fast/--no-fast",
        help="Attack a copy of the model with BatchNorm folded; the judge sees the model itself.",
        panel=_ATTACK,
    )
    precision: PrecisionName = option(
        "fp32",
        help="Of the model under attack; bf16 is judged in fp32, and attacked again where that differs.",
        panel=_ATTACK,
    )
    compiled: bool = option(
        False,
        word="--compile/--no-compile",
        help="Compile the model under attack, where the attacks may take long enough to pay for it.",
        panel=_ATTACK,
    )
    batch_size: BatchSizeWord = option(
        "auto",
        help="Images at a time, or auto: chosen by a probe. Halved where memory runs out.",
        panel=shared.OUTPUT,
        read=parse_batch_size,
        changes_numbers=False,
    )
    device: str = option("auto", like=shared.DEVICE)
    out: Path | None = option(
        None,
        help="Folder of the run's files.",
        panel=shared.OUTPUT,
        shown="a dated folder under runs/",
        in_files=False,
    )
    overwrite: bool = option(False, like=shared.OVERWRITE)
    save_adversarial: bool = option(
        False, help="Keep the adversarial examples, for 'advbench verify'.", panel=shared.OUTPUT
    )
    successful_only: bool = option(
        False, help="Of these, only the ones that fool the model.", panel=shared.OUTPUT
    )
    sign: Path | None = option(
        None,
        help="Sign the run with this SSH key, by ssh-keygen.",
        panel=shared.OUTPUT,
        shown="no signature",
        in_files=False,
        changes_numbers=False,
    )
    formats: str = option(
        "csv,markdown",
        word="--format",
        help="Tables to write: csv, markdown, latex, json; html: a page.",
        panel=shared.OUTPUT,
        changes_numbers=False,
    )
    columns: str | None = option(None, like=shared.COLUMNS)
    sort: str = option("", like=shared.SORT)
    percent: bool = option(True, like=shared.PERCENT)
    digits: int | None = option(None, like=shared.DIGITS)
    json: bool = option(False, like=shared.JSON)
    quiet: bool = option(False, like=shared.QUIET)
    debug: bool = option(False, like=shared.DEBUG)
    command: tuple[str, ...] = ()
    settings_file: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        self._join_elements()
        if self.successful_only and not self.save_adversarial:
            raise SpecError("--successful-only says which examples --save-adversarial keeps; give both.")
        _ = self.style  # a table that cannot be drawn is refused before anything runs

    def _join_elements(self) -> None:
        """Make a head, and what refuses, a part of each defense; a row of its own where there is none."""
        wanted = [] if self.head is None else [as_head(self.head)]
        wanted += [] if self.reject_class is None else [reject_word(self.reject_class)]
        wanted += [] if self.detector is None else [as_detector(self.detector)]
        rows = with_adaptation(
            joined_to(self.defenses, wanted),
            self.episodic,
            self.stream,
            tested=bool(self.tests),
            successful=self.successful_only,
            stood_in=self.surrogate is not None or self.source is not None,
        )
        object.__setattr__(self, "defenses", rows)
        for name in ("detector", "head", "episodic", "stream"):
            object.__setattr__(self, name, None)  # it is in them from here on

    @property
    def subject(self) -> SubjectOptions:
        """What is attacked, and within which bounds."""
        return subject_of(self)

    @property
    def wants_bpda(self) -> bool:
        """Whether substitutes are attacked through; to name one is to ask for it."""
        return self.bpda or bool(self.substitutes) or self.surrogate is not None

    @property
    def wants_ladder(self) -> bool:
        """Whether all rungs are run; a verdict rests on all of them."""
        return self.ladder or bool(self.tests) or bool(self.fail_on) or self.min_robust is not None

    @property
    def judging(self) -> Judge:
        """How random defenses are judged."""
        return Judge(self.judge or MAJORITY, self.judge_draws)

    @property
    def kept_examples(self) -> Literal["all", "successful"] | None:
        """Which adversarial examples are kept."""
        if not self.save_adversarial:
            return None
        return "successful" if self.successful_only else "all"

    @property
    def style(self) -> "Style":
        """How tables look."""
        return shared.style_of_words(self.columns, self.sort, percent=self.percent, digits=self.digits)
