"""The status of a running engine as one screen: what it is, how it does, what is wrong, in words beside the colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.commands.event_words import clock, sentence
from engine.commands.terminal import printable
from engine.core.minutes import MS_PER_MINUTE, NS_PER_MS, NS_PER_S, label
from engine.io.health import NOT_BUILT, Indicator, indicators, worst
from engine.io.status import Release, Status

if TYPE_CHECKING:
    from rich.text import Text

STYLES = {"green": "bold green", "amber": "bold yellow", "red": "bold red", "unknown": "dim", "": ""}
NAME_WIDTH, COLOUR_WIDTH = 13, 8
EVENTS_SHOWN = 5


def page(status: Status, width: int = 80, height: int | None = None) -> Text:
    """The screen; nothing in it is wider than `width`.

    height: lines at most. Where they are too few, what is green shares a line; then what is told last is left out.
    """
    from rich.text import Text

    found = indicators(status)
    signals = [*_released(status, width), *_pack(status, width), *_published(status, width)]
    rest = [*signals, *_modules(status, width), *_troubles(status, width), *_recent(status)]
    lines = [*_head(status, found), *_judged(found, width), *rest]
    if height is not None and len(lines) > height:
        lines = [*_head(status, found), *_judged(found, width, brief=True), *rest]
    if height is not None and len(lines) > height:
        lines = [*lines[: height - 1], [("dim", f"... {len(lines) - height + 1} lines more: --json has everything")]]
    shown = Text(no_wrap=True, overflow="ellipsis")
    for number, line in enumerate(lines):
        if number:
            shown.append("\n")
        left = width
        for style, words in line:
            words = words if len(words) <= left else words[: max(left - 1, 0)] + "…"
            shown.append(words, STYLES.get(style, style))
            left -= len(words)
    return shown


Line = list[tuple[str, str]]


def _head(status: Status, found: list[Indicator]) -> list[Line]:
    process = status.get("process")
    overall = worst(found)
    if process is None:
        return [[(overall, overall)], []]
    now = int(process["now_ns"])
    market = "simulated market" if process["origin"] == "simulated" else "live market"
    told = f"conveyor {process['version']}  {process['mode']}  {market}  {process['state']}"
    told += f" for {duration((now - process['started_ns']) / NS_PER_S)}"
    place = f"{process['session']}  pid {process['pid']}  {clock(now)} UTC"
    lines: list[Line] = [
        [(overall, overall.ljust(COLOUR_WIDTH)), ("bold", told)],
        [("dim", " " * COLOUR_WIDTH + place)],
    ]
    if process["time_source"] != "host":
        followed = f"clock of {process['time_source']}, {process['speed']:g}x as fast as real time"
        lines.append([("dim", " " * COLOUR_WIDTH + followed)])
    return [*lines, []]


def _judged(found: list[Indicator], width: int, brief: bool = False) -> list[Line]:
    """One line an indicator, more where its words need them; those not built yet share one, brief: green ones too."""
    lines: list[Line] = []
    missing, green = [], []
    for indicator in found:
        if indicator.name in NOT_BUILT and indicator.colour == "unknown":
            missing.append(indicator.name)
            continue
        if brief and indicator.colour == "green":
            green.append(indicator.name)
            continue
        head = (indicator.colour, f"{indicator.colour:<{COLOUR_WIDTH}}"), ("", f"{indicator.name:<{NAME_WIDTH}}")
        lines += _told(list(head), indicator.words, width)
    if green:
        lines.append([("green", f"{'green':<{COLOUR_WIDTH}}"), ("", ", ".join(green))])
    if missing:
        lines.append([("unknown", f"{'unknown':<{COLOUR_WIDTH}}{', '.join(missing)}: not built yet")])
    return lines


def _told(head: Line, words: str, width: int) -> list[Line]:
    """Words behind a head, on as many lines as they need, one below the other."""
    indent = sum(len(piece) for _, piece in head)
    first, *rest = _wrapped(printable(words), width - indent)
    return [[*head, ("", first)], *([("", " " * indent + piece)] for piece in rest)]


def release_lines(told: Release) -> list[str]:
    """The mode, since when, what is killed, and what the next mode lacks."""
    since = f" since {clock(told['since_ns'])} UTC" if told["since_ns"] else ""
    asked = f", started for {told['asked']}" if told["asked"] != told["mode"] else ""
    lines = [f"mode {told['mode']}{since}{asked}"]
    if told["killed"]:
        lines.append(f"killed: {' '.join(told['killed'])}")
    if not told["emits"]:
        lines.append("core.signals.emit is false: nothing leaves")
    if told["measured_ns"] and told["target"] != told["mode"]:
        boxes = f"{told['unknown']} boxes of the first hour are unknown"
        at = clock(told["measured_ns"])
        lacks = [f"{told['target']} lacked at {at}: {one}" for one in told["unmet"]]
        lines += lacks or [f"nothing that is known speaks against {told['target']}, measured at {at} UTC; {boxes}"]
    return lines


def _released(status: Status, width: int) -> list[Line]:
    told = status.get("release")
    if told is None:
        return []
    stopped = "amber" if told["killed"] or not told["emits"] else ""
    first, *rest = release_lines(told)
    lines = _told([("", f"{'signals':<{COLOUR_WIDTH}}")], first, width)
    for words in rest:
        style = stopped if words.startswith(("killed", "core.")) else "dim"
        lines += _told([(style, " " * COLOUR_WIDTH)], words, width)
    return [[], *lines]


def _pack(status: Status, width: int) -> list[Line]:
    told = status.get("pack")
    if told is None:
        return []
    words = f"{told['version']}, config hash {told['config_hash'][:12]}"
    if told["from_ts"] is not None:
        words += f", in force from the minute on that ends {label(told['from_ts'] // MS_PER_MINUTE - 1)} UTC"
    return _told([("", f"{'pack':<{COLOUR_WIDTH}}")], words, width)


def _published(status: Status, width: int) -> list[Line]:
    """A line a sink."""
    lines: list[Line] = []
    publish = status.get("publish")
    for sink in publish["sinks"] if publish else []:
        words = f"{sink['name']}: {sink['delivered']:,} delivered"
        words += "".join(f", {sink[name]:,} {name}" for name in ("failed", "dead", "held") if sink[name])  # type: ignore[literal-required]
        if sink["waiting"]:
            words += f", {sink['waiting']:,} waiting, the oldest for {duration(sink['oldest_s'] or 0)}"
        latency = sink["latency_ms"]
        if latency["p95"] is not None:
            words += f", p50 {latency['p50']:.1f} p95 {latency['p95']:.1f} ms behind the outbox"
        trouble = sink["trouble"]
        lines += _told([("amber" if trouble else "", f"{'sink':<{COLOUR_WIDTH}}")], words, width)
        if trouble:
            lines += _told([("amber", " " * COLOUR_WIDTH)], trouble, width)
    return lines


def _modules(status: Status, width: int) -> list[Line]:
    """A line a module that listens on the bus, or did in this session."""
    lines: list[Line] = []
    bus = status.get("bus")
    for module in bus["modules"] if bus else []:
        words = f"{module['name']}: {module['delivered']:,} delivered"
        words += "".join(f", {module[name]:,} {name}" for name in ("failed", "expired", "pending") if module[name])  # type: ignore[literal-required]
        if module["delivery_pct"] is not None:
            words += f"; of five minutes {module['delivery_pct']:.1f} %"
        if (p95 := module["latency_ms"]["p95"]) is not None:
            words += f", p50 {module['latency_ms']['p50']:.1f} p95 {p95:.1f} ms"
        ill = {"amber", "red"} & {module["delivery"], module["latency"]}
        style = "red" if "red" in ill else "amber" if ill else ""
        lines += _told([(style, f"{'module':<{COLOUR_WIDTH}}")], words, width)
    if bus and (link := bus["link"]):
        words = f"modules elsewhere said {link['came']:,} messages, {link['refused']:,} were refused"
        lines += _told([("amber" if link["trouble"] else "", f"{'link':<{COLOUR_WIDTH}}")], words, width)
    return lines


def _troubles(status: Status, width: int) -> list[Line]:
    """Connections and symbols that are not as they should be; a whole engine has none of these lines."""
    process = status.get("process")
    now = int(process["now_ns"]) if process else 0
    lines: list[Line] = []

    def tell(style: str, head: str, words: str) -> None:
        lines.extend(_told([(style, f"{head:<{COLOUR_WIDTH}}")], words, width))

    for link in status.get("connections", []):
        if link["state"] != "up":
            since = duration((now - link["since_ns"]) / NS_PER_S)
            words = f"{link['venue']} {link['id']} {link['state']} for {since}, {link['reconnects']} reconnects"
            tell("amber", "link", f"{words}: {link['reason']}" if link["reason"] else words)
    for rest in status.get("rest", []):
        banned = rest["banned_until_ns"]
        if banned is not None and banned > now:
            tell("amber", "rest", f"{rest['venue']} answers no request for {duration((banned - now) / NS_PER_S)} more")
    for universe in status.get("universe", []):
        if universe["parked"]:
            tell("amber", "symbols", f"{universe['venue']} refuses {' '.join(universe['parked'])}")
        if universe["without_depth"]:
            tell("amber", "symbols", f"{universe['venue']} without depth: {' '.join(universe['without_depth'])}")
    for row in status.get("symbols", []):
        if row["status"] != "ok":
            style, at = "red" if row["status"] == "stale" else "amber", clock(row["exchange_ts"] * NS_PER_MS)[:5]
            tell(style, at, f"{row['venue']} {row['symbol']} {row['status']}: {' '.join(row['reasons'])}")
    return [[], *lines] if lines else []


def _recent(status: Status) -> list[Line]:
    events = status.get("events", [])[-EVENTS_SHOWN:]
    lines: list[Line] = []
    for event in reversed(events):
        at = clock(event["at_ns"]) if event.get("at_ns") is not None else ""
        said = sentence(str(event["kind"]), event.get("venue", ""), event.get("symbol", ""), event.get("detail") or {})
        lines.append([("dim", f"{at:<{COLOUR_WIDTH + 1}}"), ("", printable(said))])
    return [[], *lines] if lines else []


def duration(seconds: float) -> str:
    """`4 s`, `12 min`, `3 h 05 min`, `4 d 2 h`."""
    whole = max(0, int(seconds))
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min"
    if whole < 172_800:
        return f"{whole // 3600} h {whole // 60 % 60:02} min"
    return f"{whole // 86_400} d {whole // 3600 % 24} h"


def _wrapped(words: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(words, max(width, 20)) or [""]
