"""The tables of results, made from the records in models/ and from nothing else.

python -m fer.evaluation.results            print them
python -m fer.evaluation.results --write    put the first rows into README.md, all into benchmarks/README.md
"""

from dataclasses import dataclass
from pathlib import Path

from fer import cli
from fer.errors import DataInvalid, DataMissing
from fer.files import replacing
from fer.labels import EMOTIONS

BEGIN, END = "<!-- results: made by `python -m fer.evaluation.results --write` -->", "<!-- end of results -->"
PAGES = Path("README.md"), Path("benchmarks/README.md")
SPLITS = {
    "ferplus-test": "FER+ test, {} classes, majority labels",
    "ferplus-test-argmax": "FER+ test, {} classes, top-vote labels",
}
"""Reported splits, in the order of the table. Validation splits chose the model and are not reported."""


@dataclass
class ResultsConfig:
    """Print the tables of recorded results, or put them into README.md and benchmarks/README.md."""

    write: bool = False
    """Replace the tables between the marks of both files."""
    models: Path = Path("models")
    """Folder of the trained models."""


def tables(models: Path) -> tuple[str, str]:
    """Return two texts in Markdown: the overall scores on the first split, and all scores."""
    from fer.evaluation.recorded import recorded_models

    recorded = recorded_models(models)
    if not recorded:
        raise DataMissing(f"No results in {models}: expected MODEL/metrics.json there. Nothing was changed.")
    overall = [
        "| data | model | parameters | n | accuracy | balanced accuracy | macro-F1 | ECE |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    recall = [f"| data | model | {' | '.join(EMOTIONS)} |", f"| --- | --- |{' ---: |' * len(EMOTIONS)}"]
    for split, title in SPLITS.items():
        for model in (model for model in recorded if split in model.metrics):
            scores = model.metrics[split]
            row = f"| {title.format(len(scores['per_class']))} | `{model.name}`"
            cells = [f"{model.card.get('parameters', 0):,}", f"{scores['n']:,}"]
            for key in ("accuracy", "balanced_accuracy", "macro_f1", "ece"):
                low, high = scores["intervals"][key]
                cells.append(f"{100 * scores[key]:.1f} ({100 * low:.1f}–{100 * high:.1f})")
            overall.append(" | ".join([row, *cells]) + " |")
            found = [scores["per_class"].get(emotion) for emotion in EMOTIONS]
            cells = [f"{100 * rates['recall']:.1f}" if rates else "" for rates in found]
            recall.append(" | ".join([row, *cells]) + " |")
    between = ["", "In percent, with 95 % bootstrap intervals. Recall by emotion:", ""]
    first = overall[: 2 + sum(next(iter(SPLITS)) in model.metrics for model in recorded)]
    return "\n".join(first), "\n".join([*overall, *between, *recall])


def replaced(text: str, table: str) -> str:
    """Return a page's text with another table between its marks; raise DataInvalid where they are missing."""
    if BEGIN not in text or END not in text:
        raise DataInvalid(f"The page has no table to replace: expected the lines {BEGIN!r} and {END!r}.")
    before, rest = text.split(BEGIN, 1)
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.split(END, 1)[1]}"


def main(config: ResultsConfig) -> None:
    """Print the tables, or write them into the pages."""
    made = tables(config.models)
    if not config.write:
        print(made[1])
        return
    for page, table in zip(PAGES, made, strict=True):
        text = replaced(page.read_text("utf-8"), table)
        with replacing(page) as temporary:
            temporary.write_text(text, "utf-8")


if __name__ == "__main__":
    cli.run(main, ResultsConfig)
