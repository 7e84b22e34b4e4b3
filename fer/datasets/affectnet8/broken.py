"""Images that ``verify`` found broken, remembered beside the index until they change."""

import json
from collections.abc import Mapping

from fer.datasets.affectnet8.source import Source
from fer.errors import DataInvalid
from fer.files import replacing


def known(source: Source) -> dict[str, str]:
    """Return why images are broken, by id, without those that have changed since.

    Raises:
        DataInvalid: the file is damaged.
    """
    path = source.broken_path
    if not path.is_file():
        return {}
    try:
        rows = json.loads(path.read_text("utf-8"))
        return {one: why for one, why, stamp in rows if stamp == source.image_stamp(one)}
    except (ValueError, TypeError) as error:
        raise DataInvalid(f"{path} is damaged ({error}). Delete it, then run verify() again.") from error


def note(source: Source, reasons: Mapping[str, str]) -> None:
    """Remember why images are broken, by id, in place of what was noted before."""
    path = source.broken_path
    rows = [[one, why, source.image_stamp(one)] for one, why in reasons.items()]
    if not rows and not path.exists():
        return
    try:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(rows), "utf-8")
    except OSError as error:
        print(f"note: {path} cannot be written ({error.strerror}): broken images are not remembered.")
