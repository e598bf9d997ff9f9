"""Corpus specifications as text: ``KIND:option=value,option=value``. Loads nothing heavy."""

from slrbench.errors import BadInputError

KINDS = ("fingerspelling",)


def parse_spec(text: str) -> tuple[str, dict[str, str]]:
    """Split ``fingerspelling:language=ase+gsg,size=64`` into its kind and its options.

    Raises:
        BadInputError: an unknown kind, an option without a value, or an option given twice.
    """
    kind, _, rest = text.strip().partition(":")
    if kind not in KINDS:
        raise BadInputError(f"unknown corpus {kind!r}", hint=f"known: {', '.join(KINDS)}")
    options: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in rest.split(","))):
        name, equals, value = (x.strip() for x in part.partition("="))
        if not equals or not name or not value:
            raise BadInputError(f"{part!r} in {text!r} is not option=value", hint="write for example size=48")
        if name in options:
            raise BadInputError(f"option {name!r} is given twice in {text!r}", hint="give it once")
        options[name] = value
    return kind, options


def positive_int(options: dict[str, str], name: str, default: int, *, low: int, high: int) -> int:
    """An integer option between ``low`` and ``high``, both included.

    Raises:
        BadInputError: not an integer, or out of range.
    """
    text = options.get(name)
    if text is None:
        return default
    if not text.isdecimal() or not low <= int(text) <= high:
        raise BadInputError(f"{name}={text!r} is not an integer in {low}..{high}", hint=f"for example {name}={default}")
    return int(text)
