"""Which programs a journey runs, in which order, with which flags.

What goes into a step's flags is what differs between journeys and scales; everything else is the programs' own presets.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from shared.errors import ConfigError
from shared.runs.config import did_you_mean

SCALES = ("tiny", "toy", "one_gpu", "cluster")


@dataclass(frozen=True)
class Step:
    """One program, its flags, and what it is for in a word or two."""

    purpose: str
    program: str
    flags: tuple[str, ...] = ()
    takes_impl: bool = True
    ranks: int = 1  # more than one are started by torchrun
    shows_reference: bool = False  # whatever IMPL says; a student release, which lacks it, goes without


@dataclass(frozen=True)
class Scale:
    """The sizes of one scale; everything else is the programs' own presets."""

    megabytes: float  # of stories
    vocab_size: int
    train_preset: str
    evaluate_preset: str
    generate_preset: str
    study_vocab_size: int = (
        512  # small models spend most of a large vocabulary's time on its output projection
    )


SIZES = {
    "toy": {
        "tiny": Scale(0.4, 512, "tiny", "tiny", "tiny"),
        "toy": Scale(9, 2048, "toy", "toy", "toy"),
    },
    "a1": {
        "tiny": Scale(0.4, 512, "tiny", "tiny", "tiny"),
        "toy": Scale(24, 2048, "a1", "toy", "toy"),
        "one_gpu": Scale(1000, 8192, "one_gpu", "toy", "toy"),
    },
    "a2": {
        "tiny": Scale(0.4, 512, "tiny", "tiny", "tiny"),
        "toy": Scale(9, 2048, "toy", "toy", "toy"),
    },
    "a1-study": {
        "tiny": Scale(0.4, 512, "tiny", "tiny", "tiny"),
        "toy": Scale(9, 2048, "toy", "toy", "toy"),
        "one_gpu": Scale(1000, 8192, "one_gpu", "toy", "toy", study_vocab_size=8192),
    },
}
EXPERIMENTS = ("learning_rate", "batch_size", "ablations", "divergence", "scaling_audit")
LIBRARY = "python_library"  # the Corpus of Python's standard library, the same at every scale
PLAYS = "tinyshakespeare"  # what the ladder reads: figures of it are known from elsewhere
FOR_THE_REFERENCE = ("a1_basics.run.tokenizer_sweep",)  # rules for cutting text cross no door


def stage_one(size: Scale, name: str, text: str | None) -> list[Step]:
    """From a corpus to a report on the model that was trained on it."""
    told = f"--kind stories --megabytes {size.megabytes}".split()
    vocab_size = size.vocab_size
    return [
        step(
            "a corpus",
            "shared.corpora.make",
            f"--name {name}",
            *(["--kind", "text", "--path", text] if text else told),
        ),
        step(
            "a tokenizer",
            "a1_basics.run.train_tokenizer",
            f"--corpus {name} --vocab-size {vocab_size} --name {name}",
        ),
        step("token ids", "a1_basics.run.encode", f"--corpus {name} --tokenizer {name} --name {name}"),
        step(
            "a language model",
            "a1_basics.run.train_lm",
            f"--preset {size.train_preset} --shards {name} --model.vocab-size {vocab_size} --name {name}",
        ),
        step(
            "how good it is",
            "a1_basics.run.evaluate_lm",
            f"--preset {size.evaluate_preset} --checkpoint {name} --name {name}",
        ),
        step(
            "what it writes",
            "a1_basics.run.generate",
            f"--preset {size.generate_preset} --checkpoint {name} --name {name}",
        ),
        step("a report page", "shared.report.make", f"--checkpoint {name} --name {name}"),
    ]


def stage_two(size: Scale, name: str, text: str | None, scale: str) -> list[Step]:
    """The same training on one rank and, spread in two ways, on two; on the token ids of `make toy`.

    Then kernels against the oracle, where time and memory go, and a page of it all.
    """
    base = journey_name("toy", scale, text)
    plans = {"tiny": ("tiny",), "toy": ("toy", "8b")}[scale]
    compiled = scale != "tiny"  # compilers take half a minute
    shown = (
        f"--training {name} --kernels {name}-kernels --strategies {name}-strategies --steps {name}-steps "
        f"--attention {name}-attention --plans {' '.join(f'{name}-plan-{plan}' for plan in plans)}"
    )
    measured = [
        *kernels_and_strategies(name, scale),
        *(
            step("what would fit", "a2_systems.run.plan", f"--preset {plan} --name {name}-plan-{plan}")
            for plan in plans
        ),
        step(
            "where a step goes",
            "a2_systems.run.measure_step",
            f"--preset {scale} --name {name}-steps",
        ),
        step(
            "attention by size",
            "a2_systems.run.measure_attention",
            f"--preset {scale} --name {name}-attention",
        ),
        *(
            [
                step(
                    "what a compiler brings",
                    "a2_systems.run.measure_compile",
                    f"--preset {scale} --name {name}-compiled",
                )
            ]
            if compiled
            else []
        ),
        step(
            "a report page",
            "shared.report.systems",
            f"{shown} {f'--compiled {name}-compiled ' if compiled else ''}--name {name}",
        ),
    ]
    return [
        *stage_one(size, base, text)[:3],
        *same_training(size, base, name, ("bucketed", "fsdp"), size.train_preset),
        *(replace(each, shows_reference=True) for each in measured),
    ]


def stage_two_in_short(size: Scale, base: str, scale: str) -> list[Step]:
    """Stage 2's share of `make toy`: two ranks = one rank on a few steps, kernels, the timing table, and their page."""
    name = f"{base}-systems"
    steps = [
        *same_training(size, base, name, ("fsdp",), {"toy": "short"}.get(scale, scale)),
        *kernels_and_strategies(name, scale),
        step(
            "stage 2's report page",
            "shared.report.systems",
            f"--training {name} --kernels {name}-kernels --strategies {name}-strategies --name {name}",
        ),
    ]
    return [replace(each, takes_impl=False, shows_reference=True) for each in steps]


def same_training(size: Scale, base: str, name: str, strategies: tuple[str, ...], preset: str) -> list[Step]:
    """One training on one rank, and on two with each strategy, on the shards `base`; compared as the Runs `name`."""
    # float32: in bfloat16 the order of sums would show, where only a mistake should
    settings = f"--preset {preset} --shards {base} --model.vocab-size {size.vocab_size} --precision float32"
    program, alone = "a2_systems.run.train_parallel", f"{name}-one-rank"
    names = {"bucketed": f"{name}-data-parallel", "fsdp": f"{name}-fsdp"}
    purposes = {"bucketed": "on two, gradients averaged", "fsdp": "on two, everything shared out"}
    logs = " ".join([alone, *(names[strategy] for strategy in strategies)])
    return [
        step("on one rank", program, f"{settings} --strategy single --name {alone}"),
        *(
            step(
                purposes[strategy],
                program,
                f"{settings} --strategy {strategy} --name {names[strategy]}",
                ranks=2,
            )
            for strategy in strategies
        ),
        step("the same training?", "a2_systems.run.compare_training", f"--logs {logs} --name {name}"),
    ]


def kernels_and_strategies(name: str, scale: str) -> list[Step]:
    """Every kernel against float64, and every way of spreading on two ranks, timed."""
    return [
        step("kernels against the oracle", "a2_systems.run.check_kernels", f"--name {name}-kernels"),
        step(
            "speed and memory of every strategy",
            "a2_systems.run.measure_strategies",
            f"--preset {scale} --name {name}-strategies",
            ranks=2,
        ),
    ]


def stage_one_study(size: Scale, name: str, text: str | None, scale: str) -> list[Step]:
    """The experiments, on the corpus of `make toy` and beside its model: what that made before is found and kept.

    The ladder and the tokenizers read a text that people wrote: the plays, unless there is a text of one's own.
    """
    base = journey_name("toy", scale, text)
    own_vocab = f"--corpus {base} --vocab-size {size.study_vocab_size} --name {name}"
    page = f"{name}-attention"
    characters, ladder, sweep = f"{name}-characters", f"{name}-ladder", f"{name}-tokenizers"
    plays = base if text is not None or scale == "tiny" else PLAYS
    own_characters = f"--corpus {plays} --tokenizer {characters} --name {characters}"
    full = f"{name}-shakespeare_char"
    full_ladder = [
        step(
            "its top rung at full size",
            "a1_basics.run.ladder",
            f"--preset shakespeare_char --shards {characters} --name {full}",
        ),
        step("its page", "shared.report.ladder", f"--ladder {full} --name {full}"),
    ]
    return [
        *stage_one(size, base, text)[:4],
        step("what its heads look at", "a1_basics.run.attention_probe", f"--checkpoint {base} --name {page}"),
        step("a small vocabulary", "a1_basics.run.train_tokenizer", own_vocab),
        step("token ids", "a1_basics.run.encode", f"--corpus {base} --tokenizer {name} --name {name}"),
        *(
            step(
                f"experiment: {experiment.replace('_', ' ')}",
                f"a1_basics.run.{experiment}",
                f"--preset {scale} --shards {name} --model.vocab-size {size.study_vocab_size} "
                f"--name {name}-{experiment}",
            )
            for experiment in EXPERIMENTS
        ),
        step(
            "a report page",
            "shared.report.experiments",
            f"--runs {' '.join(f'{name}-{each}' for each in EXPERIMENTS)} --attention {page} --name {name}",
        ),
        *(
            [step("the plays", "shared.corpora.fetch", f"--dataset {PLAYS} --stand-in")]
            if plays == PLAYS
            else []
        ),
        step("real text: code and prose", "shared.corpora.make", f"--preset python_library --name {LIBRARY}"),
        step(
            "vocabulary sizes and rules",
            "a1_basics.run.tokenizer_sweep",
            f"--preset {scale} --corpora {plays} {LIBRARY} --name {sweep}",
        ),
        step("the tokenizers' page", "shared.report.tokenizers", f"--sweep {sweep} --name {sweep}"),
        step(
            "a character each",
            "a1_basics.run.train_tokenizer",
            f"--kind chars --corpus {plays} --name {characters}",
        ),
        step("token ids", "a1_basics.run.encode", own_characters),
        step(
            "the ladder: bigram to transformer",
            "a1_basics.run.ladder",
            f"--preset {scale} --shards {characters} --name {ladder}",
        ),
        step("the ladder's page", "shared.report.ladder", f"--ladder {ladder} --name {ladder}"),
        *(full_ladder if scale == "toy" else []),
    ]


def step(purpose: str, program: str, words: str, *more: str, ranks: int = 1) -> Step:
    """A step whose flags are written as on a command line; `more` may hold spaces."""
    is_behind_doors = (
        program.startswith(("a1_basics", "a2_systems.run.train")) or program == "shared.report.make"
    )
    takes_impl = is_behind_doors and program not in FOR_THE_REFERENCE
    return Step(purpose, program, (*words.split(), *more), takes_impl, ranks)


def journey(name: str, scale: str, text: str | None) -> list[Step]:
    """The steps of a journey.

    Raises:
        ConfigError: no such journey or scale, or text that is not there.
    """
    if name not in SIZES:
        raise ConfigError(
            f"there is no journey {name!r}{did_you_mean(name, SIZES)} Known: {', '.join(SIZES)}"
        )
    if scale not in SIZES[name]:
        known = ", ".join(SIZES[name])
        raise ConfigError(
            f"journey {name!r} has no SCALE={scale}{did_you_mean(scale, SIZES[name])} It has: {known}"
        )
    if text is not None and not Path(text).exists():
        raise ConfigError(f"TEXT={text}: there is no such file or folder")
    run_name = journey_name(name, scale, text)
    if name == "a2":
        return stage_two(SIZES[name][scale], run_name, text, scale)
    if name == "a1-study":
        return stage_one_study(SIZES[name][scale], run_name, text, scale)
    steps = stage_one(SIZES[name][scale], run_name, text)
    return [*steps, *stage_two_in_short(SIZES[name][scale], run_name, scale)] if name == "toy" else steps


def journey_name(name: str, scale: str, text: str | None) -> str:
    """What a journey's artifacts are called."""
    run_name = name if scale == "toy" else f"{name}-{scale}"
    return run_name if text is None else f"{run_name}-text"
