"""Lists of things in a few words, for messages."""


def listed(things):
    """All things, sorted: "float32 and uint8"."""
    return " and ".join(sorted(map(str, things)))


def in_short(names, most=3):
    """The first few names: "a, b, c, ..."."""
    names = list(names)
    return ", ".join(map(str, names[:most])) + (", ..." if len(names) > most else "")
