#!/usr/bin/env python3
"""Record and replay HTTP conformance scenarios (see README.md beside this file).

    conform.py record --base URL [--force] scenario.json...
    conform.py replay --base URL [--only NAME] [--jobs N] [--verbose] [--junit F] dir-or-files...

A scenario is a JSON file: {name, description, steps, cleanup?, exclusive?}.
A step is {method, path, headers?, body? | raw_body?, gzip?, save?, poll?, sleep_s?, note?, expect}.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import gzip
import json
import re
import secrets
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.sax.saxutils import quoteattr

import requests

TS = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
# Placeholders usable inside any expected string: {{name}}.
PLACEHOLDERS = {
    "any": r"[\s\S]*",
    "str": r"[\s\S]+",
    "ts": TS,
    "int": r"-?\d+",
    "num": r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?",
    "host": r"[A-Za-z0-9._-]+",
    "hostport": r"(?:https?://)?[A-Za-z0-9._-]+:\d+",
    "rand": r"[A-Za-z0-9]+",
    "uuid": r"[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}",
}
POLL_EVERY_S = 0.1
LONGEST_POLL_S = 500
TOKEN = re.compile(r"\{\{([^{}]+)\}\}")


class MissingVariable(Exception):
    """A scenario refers to a variable that no earlier step could save."""


# ---------------------------------------------------------------- variables


def variable(name: str, bound: dict) -> object:
    """The value of `uniq`, `id:NAME` or a moment such as `now-1h`."""
    if name.startswith("now"):
        match = re.fullmatch(r"now(?:([+-]\d+)([smhd]))?", name)
        if match:
            unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
            shift = timedelta(**{unit[match[2]]: int(match[1])}) if match[1] else timedelta()
            moment = datetime.now(UTC) + shift
            return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
    key = name[3:] if name.startswith("id:") else name
    if key not in bound:
        raise MissingVariable(f"variable {key!r} was never bound")
    return bound[key]


def fill(value, bound: dict):
    """Substitute variables in everything that is sent."""
    if isinstance(value, dict):
        return {fill(k, bound): fill(v, bound) for k, v in value.items()}
    if isinstance(value, list):
        return [fill(v, bound) for v in value]
    if not isinstance(value, str):
        return value
    whole = TOKEN.fullmatch(value)
    if whole:
        return variable(whole[1], bound)
    return TOKEN.sub(lambda m: str(variable(m[1], bound)), value)


def lookup(document, path: str):
    """`$.a.b`, `$[0]`, `$['a.b']` and `$[?key=value]` (the first element that has it)."""
    for part in re.findall(r"\.[^.\[\]]+|\[[^\]]*\]", path[1:]):
        if part.startswith("."):
            document = document[part[1:]]
        elif part.startswith("[?"):
            key, wanted = part[2:-1].split("=", 1)
            document = next(e for e in document if str(e.get(key)) == wanted)
        elif part[1] in "'\"":
            document = document[part[2:-2]]
        else:
            document = document[int(part[1:-1])]
    return document


# ---------------------------------------------------------------- matching


def text_pattern(expected: str, bound: dict) -> re.Pattern:
    out, last = [], 0
    for token in TOKEN.finditer(expected):
        out.append(re.escape(expected[last : token.start()]))
        name = token[1]
        if name in PLACEHOLDERS:
            out.append(PLACEHOLDERS[name])
        else:
            out.append(re.escape(str(variable(name, bound))))
        last = token.end()
    out.append(re.escape(expected[last:]))
    return re.compile("".join(out))


def short(value) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= 300 else text[:300] + "..."


def is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def match_string(expected: str, actual, bound: dict, at: str) -> list[str]:
    whole = TOKEN.fullmatch(expected)
    if whole:
        name = whole[1]
        if name == "any":
            return []
        if name == "int":
            ok = isinstance(actual, int) and not isinstance(actual, bool)
            return [] if ok else [f"{at}: expected an integer, got {short(actual)}"]
        if name == "num":
            return [] if is_number(actual) else [f"{at}: expected a number, got {short(actual)}"]
        if name == "bool":
            ok = isinstance(actual, bool)
            return [] if ok else [f"{at}: expected a boolean, got {short(actual)}"]
        if name not in PLACEHOLDERS:
            wanted = variable(name, bound)
            ok = wanted == actual and isinstance(wanted, bool) == isinstance(actual, bool)
            return [] if ok else [f"{at}: expected {short(wanted)}, got {short(actual)}"]
    if not isinstance(actual, str):
        return [f"{at}: expected {short(expected)}, got {short(actual)}"]
    if text_pattern(expected, bound).fullmatch(actual):
        return []
    return [f"{at}: expected {short(expected)}, got {short(actual)}"]


def assign(expected: list, actual: list, bound: dict, loose: bool) -> dict[int, int]:
    """A largest one-to-one pairing of expected elements with actual ones."""
    fits = [[j for j, a in enumerate(actual) if not match(e, a, bound, "", loose)] for e in expected]
    taken: dict[int, int] = {}

    def place(i: int, seen: set[int]) -> bool:
        for j in fits[i]:
            if j not in seen:
                seen.add(j)
                if j not in taken or place(taken[j], seen):
                    taken[j] = i
                    return True
        return False

    for i in range(len(expected)):
        place(i, set())
    return {i: j for j, i in taken.items()}


def match_operator(expected: dict, actual, bound: dict, at: str, loose: bool) -> list[str]:
    """{"$name": argument}: see README.md for the list."""
    name = next(k for k in expected if k.startswith("$"))
    arg = expected[name]
    if name == "$any":
        return []
    if name == "$all":
        return [p for m in arg for p in match(m, actual, bound, at, loose)]
    if name == "$oneof":
        tries = [match(m, actual, bound, at, loose) for m in arg]
        return [] if any(not t for t in tries) else [f"{at}: fits none of {short(arg)}: {short(actual)}"]
    if name == "$not":
        ok = match(arg, actual, bound, at, loose)
        return [] if ok else [f"{at}: must not fit {short(arg)}, got {short(actual)}"]
    if name == "$json":
        try:
            return match(arg, json.loads(actual), bound, at + "(json)", loose)
        except (TypeError, ValueError):
            return [f"{at}: expected a string holding JSON, got {short(actual)}"]
    if name == "$regex":
        ok = isinstance(actual, str) and text_regex(arg, bound).fullmatch(actual)
        return [] if ok else [f"{at}: expected to fit /{arg}/, got {short(actual)}"]
    if name == "$range":
        ok = is_number(actual) and arg[0] <= actual <= arg[1]
        return [] if ok else [f"{at}: expected {arg[0]}..{arg[1]}, got {short(actual)}"]
    if name == "$superset":
        return match_object(arg, actual, bound, at, loose, extra=True)

    if not isinstance(actual, list):
        return [f"{at}: expected an array, got {short(actual)}"]
    if name == "$len":
        return match(arg, len(actual), bound, at + ".length", loose)
    if name in ("$unordered", "$contains"):
        pairs = assign(arg, actual, bound, loose)
        out = [f"{at}: nothing fits {short(e)}" for i, e in enumerate(arg) if i not in pairs]
        if name == "$unordered":
            used = set(pairs.values())
            out += [f"{at}[{j}]: unexpected {short(a)}" for j, a in enumerate(actual) if j not in used]
        return out
    if name == "$ordered":  # these elements, in this order, others may lie between
        rest = iter(range(len(actual)))
        for e in arg:
            if not any(not match(e, actual[j], bound, at, loose) for j in rest):
                return [f"{at}: {short(e)} is missing or out of order"]
        return []
    if name == "$each":
        return [p for j, a in enumerate(actual) for p in match(arg, a, bound, f"{at}[{j}]", loose)]
    if name == "$where":  # keep only the elements that fit, then match "then"
        kept = [a for a in actual if not match(arg, a, bound, "", True)]
        return match(expected["then"], kept, bound, at + "(where)", loose)
    if name == "$sorted":  # "asc" or "desc", on the key "by"
        keys = [str(a.get(expected["by"])) if isinstance(a, dict) else "" for a in actual]
        ok = keys == sorted(keys, reverse=arg == "desc")
        return [] if ok else [f"{at}: not sorted {arg} by {expected['by']}: {short(keys)}"]
    raise ValueError(f"unknown matcher {name}")


def text_regex(pattern: str, bound: dict) -> re.Pattern:
    """A regular expression in which {{...}} may still name a variable or a placeholder."""

    def sub(token: re.Match) -> str:
        name = token[1]
        return PLACEHOLDERS.get(name) or re.escape(str(variable(name, bound)))

    return re.compile(TOKEN.sub(sub, pattern))


def match_object(expected: dict, actual, bound: dict, at: str, loose: bool, extra: bool) -> list[str]:
    if not isinstance(actual, dict):
        return [f"{at}: expected an object, got {short(actual)}"]
    expected = {fill(k, bound): v for k, v in expected.items()}
    out = []
    for key, value in expected.items():
        if value == "$absent":
            if key in actual:
                out.append(f"{at}.{key}: must be absent, got {short(actual[key])}")
        elif key not in actual:
            out.append(f"{at}.{key}: missing (expected {short(value)})")
        else:
            out += match(value, actual[key], bound, f"{at}.{key}", loose)
    if not extra:
        out += [f"{at}.{k}: unexpected {short(actual[k])}" for k in actual if k not in expected]
    return out


def match(expected, actual, bound: dict, at: str = "$", loose: bool = False) -> list[str]:
    """The differences, one line each; [] when `actual` fits. `loose` lets objects have more keys."""
    if isinstance(expected, dict):
        if any(k.startswith("$") for k in expected):
            return match_operator(expected, actual, bound, at, loose)
        return match_object(expected, actual, bound, at, loose, extra=loose)
    if isinstance(expected, list):
        if not isinstance(actual, list):
            return [f"{at}: expected an array, got {short(actual)}"]
        out = []
        if len(expected) != len(actual):
            out.append(f"{at}: expected {len(expected)} elements, got {len(actual)}: {short(actual)}")
        for i, (e, a) in enumerate(zip(expected, actual, strict=False)):
            out += match(e, a, bound, f"{at}[{i}]", loose)
        return out
    if isinstance(expected, str):
        return match_string(expected, actual, bound, at)
    if isinstance(expected, bool) or expected is None or not is_number(actual):
        same = expected is actual
    else:
        same = expected == actual
    return [] if same else [f"{at}: expected {short(expected)}, got {short(actual)}"]


def media(value: str) -> tuple[str, str]:
    kind, _, rest = value.lower().partition(";")
    charset = re.search(r"charset=\"?([\w-]+)", rest)
    return kind.strip(), charset[1] if charset else ""


def match_content_type(expected, actual) -> bool:
    if not expected:
        return not actual
    kind, charset = media(expected)
    got_kind, got_charset = media(actual or "")
    if kind == "{{any}}":
        return True
    if charset:
        return (kind, charset) == (got_kind, got_charset)
    # JSON is UTF-8 whether or not the header says so.
    return kind == got_kind and (got_charset in ("", "utf-8") or kind != "application/json")


def compare(expect: dict, response, bound: dict) -> list[str]:
    out = []
    if "status" in expect:
        wanted = expect["status"] if isinstance(expect["status"], list) else [expect["status"]]
        if response.status_code not in wanted:
            out.append(f"status: expected {expect['status']}, got {response.status_code}")
    if "content_type" in expect:
        got = response.headers.get("Content-Type")
        if not match_content_type(expect["content_type"], got):
            out.append(f"content type: expected {expect['content_type']!r}, got {got!r}")
    for name, wanted in expect.get("headers", {}).items():
        got = response.headers.get(name)
        if wanted == "$absent":
            if got is not None:
                out.append(f"header {name}: must be absent, got {got!r}")
        else:
            out += match(wanted, got, bound, f"header {name}")
    if "text" in expect and not text_pattern(expect["text"], bound).fullmatch(response.text):
        out.append(f"text: expected {short(expect['text'])}, got {short(response.text)}")
    if "body" in expect:
        try:
            document = response.json()
        except ValueError:
            return [*out, f"body: expected JSON {short(expect['body'])}, got {short(response.text)}"]
        out += match(expect["body"], document, bound)
    return out


# ---------------------------------------------------------------- sending


class Server:
    def __init__(self, base: str):
        self.base = base.rstrip("/")
        self.session = requests.Session()

    def send(self, step: dict, bound: dict):
        headers = fill(step.get("headers", {}), bound)
        data = None
        if "raw_body" in step:
            data = fill(step["raw_body"], bound).encode()
        elif "body" in step:
            data = json.dumps(fill(step["body"], bound)).encode()
            headers.setdefault("Content-Type", "application/json")
        if step.get("gzip"):
            data = gzip.compress(data)
            headers.setdefault("Content-Encoding", "gzip")
        url = self.base + fill(step["path"], bound)
        return self.session.request(step["method"], url, headers=headers, data=data, timeout=60, allow_redirects=False)

    def perform(self, step: dict, bound: dict):
        """Send one step, again and again while its poll condition does not hold."""
        time.sleep(step.get("sleep_s", 0))
        poll = step.get("poll")
        deadline = time.monotonic() + min(LONGEST_POLL_S, (poll or {}).get("timeout_s", 120))
        while True:
            response = self.send(step, bound)
            if not poll:
                return response, []
            try:
                document = response.json()
            except ValueError:
                document = response.text
            wanted = response.status_code == poll.get("status", response.status_code)
            missing = match(poll["until"], document, bound, loose=True) if "until" in poll else []
            if wanted and not missing:
                return response, []
            if is_final(document):
                return response, ["reached another end than the one polled for", *missing]
            if time.monotonic() > deadline:
                return response, ["poll condition never held", *missing]
            time.sleep(POLL_EVERY_S)


def is_final(document) -> bool:
    """A task that has ended stays as it is, so polling its status on is pointless."""
    status = document.get("status") if isinstance(document, dict) else None
    return isinstance(status, dict) and status.get("statusCode") in ("SUCCESS", "FAILED")


def save(step: dict, response, bound: dict) -> list[str]:
    out = []
    for name, path in step.get("save", {}).items():
        try:
            if path.startswith("header:"):
                bound[name] = response.headers[path[7:]]
            elif path == "text":
                bound[name] = response.text
            else:
                bound[name] = lookup(response.json(), fill(path, bound))
        except (AttributeError, KeyError, IndexError, TypeError, ValueError, StopIteration):
            out.append(f"save {name}: nothing at {path}")
    return out


def run_step(server: Server, step: dict, bound: dict) -> tuple[list[str], object]:
    response = None
    try:
        response, problems = server.perform(step, bound)
        problems += save(step, response, bound)
        problems += compare(step.get("expect", {}), response, bound)
    except MissingVariable as error:
        problems = [str(error)]
    except requests.RequestException as error:
        problems = [f"no response: {error}"]
    return problems, response


@contextlib.contextmanager
def begin(scenario: dict):
    """The variables a run starts with; `files` are written to a fresh folder named by {{id:dir}}."""
    bound = {"uniq": secrets.token_hex(5)}
    with tempfile.TemporaryDirectory(prefix="conform_") as folder:
        if scenario.get("files"):
            Path(folder).chmod(0o755)
            bound["dir"] = folder
            for name, content in scenario["files"].items():
                (Path(folder) / name).write_text(content)
        yield bound


def run_cleanup(server: Server, scenario: dict, bound: dict) -> None:
    for step in scenario.get("cleanup", []):
        with contextlib.suppress(MissingVariable, requests.RequestException):
            server.perform(step, bound)


def replay(base: str, scenario: dict, verbose: bool, hasty: bool = False) -> tuple[list[str], list[str], float]:
    """(mismatches, lines for --verbose, seconds); `hasty` stops at the first step that does not fit."""
    server, mismatches, lines, start = Server(base), [], [], time.monotonic()
    with begin(scenario) as bound:
        for number, step in enumerate(scenario["steps"], 1):
            problems, response = run_step(server, step, bound)
            where = f"step {number}: {step['method']} {step['path']}"
            mismatches += [f"{where}  {p}" for p in problems]
            if verbose:
                lines.append(f"  {'ok  ' if not problems else 'FAIL'} {where}")
                if problems and response is not None:
                    lines.append(f"       got {response.status_code} {response.text[:2000]}")
            if problems and hasty:
                break
        run_cleanup(server, scenario, bound)
    return mismatches, lines, time.monotonic() - start


# ---------------------------------------------------------------- recording

LOCATION_KEYS = {"host", "port", "tlsPort"}
VARYING = {"duration", "size", "timeOfExceptionMillis", "segmentAvailabilityWaitTimeMs"}
NEAR = timedelta(days=2)


def normal_string(text: str, bound: dict) -> str:
    """Replace what is bound, then what is plainly random or a present moment."""
    named = {k: v for k, v in bound.items() if isinstance(v, str) and k != "uniq"}
    for name, value in sorted(named.items(), key=lambda kv: -len(kv[1])):
        if len(value) >= 6:
            text = text.replace(value, f"{{{{id:{name}}}}}")
    text = text.replace(bound["uniq"], "{{uniq}}")
    text = re.sub(TS, near_instant, text)
    return re.sub(r"_[a-p]{8}_(?=\{\{ts\}\})", "_{{rand}}_", text)


def near_instant(found: re.Match) -> str:
    moment = datetime.fromisoformat(found[0].replace("Z", "+00:00"))
    return "{{ts}}" if abs(datetime.now(UTC) - moment) < NEAR else found[0]


def normal(value, bound: dict, key: str = ""):
    if key == "loadSpec":  # where deep storage lies is the server's own business
        return "{{any}}"
    if isinstance(value, dict):
        if set(value) >= LOCATION_KEYS and value["host"] is not None:
            value = {**value, "host": "{{host}}", "port": "{{int}}"}
        return {normal_string(k, bound): normal(v, bound, k) for k, v in value.items()}
    if isinstance(value, list):
        return [normal(v, bound) for v in value]
    if isinstance(value, str):
        if "\n\tat " in value:  # a stack trace: keep the message, without its exception class
            value = "{{any}}" + re.sub(r"^[\w.$]+: ", "", value.partition("\n\tat ")[0]) + "{{any}}"
        return value if TOKEN.search(value) else normal_string(value, bound)
    if key in VARYING and is_number(value) and value > 0:
        return "{{int}}"
    return value


def fill_expect(step: dict, response, bound: dict, force: bool) -> None:
    """Complete `expect`; what is already there and still fits is kept."""
    old = {} if force else step.get("expect", {})
    kept = {k: v for k, v in old.items() if not compare({k: v}, response, bound)}
    kind = response.headers.get("Content-Type")
    new = {"status": response.status_code}
    # An HTML page, or an empty 5xx, is the servlet container's own: only the status is a promise.
    page = (kind or "").startswith("text/html") or (response.status_code >= 500 and not response.text)
    if response.text and not page:
        new["content_type"] = kind
    if "body" not in kept and "text" not in kept and not page:
        try:
            new["body"] = normal(response.json(), bound)
        except ValueError:
            new["text"] = normal_string(response.text, bound)
    dropped = [k for k in old if k not in kept]
    if dropped:
        print(f"    replaced {dropped} of {step['method']} {step['path']}")
        print("\n".join(f"        {p}" for k in dropped for p in compare({k: old[k]}, response, bound)))
    step["expect"] = {**new, **kept}


def record(base: str, path: Path, force: bool) -> bool:
    scenario = json.loads(path.read_text())
    server, ok = Server(base), True
    with begin(scenario) as bound:
        for step in scenario["steps"]:
            try:
                response, problems = server.perform(step, bound)
                problems += save(step, response, bound)
                fill_expect(step, response, bound, force)
            except (MissingVariable, requests.RequestException) as error:
                problems = [str(error)]
            for problem in problems:
                ok = False
                print(f"    {step['method']} {step['path']}  {problem}")
        run_cleanup(server, scenario, bound)
    path.write_text(json.dumps(scenario, indent=1, ensure_ascii=False) + "\n")
    print(f"{'recorded' if ok else 'PROBLEMS'} {scenario['name']}")
    return ok


# ---------------------------------------------------------------- command line


def scenario_files(paths: list[str]) -> list[Path]:
    out: list[Path] = []
    for name in paths:
        path = Path(name)
        out += sorted(path.rglob("*.json")) if path.is_dir() else [path]
    return out


def write_junit(target: str, results: list[tuple]) -> None:
    failed = sum(1 for r in results if r[1])
    rows = [f'<testsuite name="conformance" tests="{len(results)}" failures="{failed}">']
    for name, mismatches, seconds in results:
        rows.append(f'  <testcase name={quoteattr(name)} time="{seconds:.2f}">')
        if mismatches:
            rows.append(f"    <failure message={quoteattr(chr(10).join(mismatches))}/>")
        rows.append("  </testcase>")
    Path(target).write_text("\n".join([*rows, "</testsuite>"]) + "\n")


def replay_all(args) -> int:
    scenarios = [json.loads(p.read_text()) for p in scenario_files(args.paths)]
    if args.only:
        scenarios = [s for s in scenarios if args.only in s["name"]]
    results = []

    def one(scenario: dict) -> None:
        mismatches, lines, seconds = replay(args.base, scenario, args.verbose)
        results.append((scenario["name"], mismatches, seconds))
        report = [f"{'FAIL' if mismatches else 'PASS'} {scenario['name']} ({seconds:.1f}s)"]
        print("\n".join(report + lines + [f"    {m}" for m in mismatches]), flush=True)

    shared = [s for s in scenarios if not s.get("exclusive")]
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(one, shared))
    for scenario in scenarios:  # those that change or count server-wide state run alone
        if scenario.get("exclusive"):
            one(scenario)
    if args.junit:
        write_junit(args.junit, sorted(results))
    failed = sum(1 for r in results if r[1])
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed or not results else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    modes = parser.add_subparsers(dest="mode", required=True)
    for mode in ("record", "replay"):
        sub = modes.add_parser(mode)
        sub.add_argument("--base", required=True, help="http://host:port of the server")
        sub.add_argument("paths", nargs="+", help="scenario files or folders of them")
        if mode == "record":
            sub.add_argument("--force", action="store_true", help="forget what was expected before")
        else:
            sub.add_argument("--only", help="run only the scenarios whose name contains this")
            sub.add_argument("--jobs", type=int, default=1, help="scenarios run at the same time")
            sub.add_argument("--verbose", action="store_true", help="print every step")
            sub.add_argument("--junit", help="also write the results to this file")
    args = parser.parse_args()
    if args.mode == "record":
        return 0 if all(record(args.base, p, args.force) for p in scenario_files(args.paths)) else 1
    return replay_all(args)


if __name__ == "__main__":
    sys.exit(main())
