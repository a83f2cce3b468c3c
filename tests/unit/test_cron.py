"""Schedules: next runs as a reference library has them, Quartz by its own words, and what is refused."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from overlord.errors import BadRequest
from overlord.model.cron import Schedule

ZONES = ("UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata")
NEAR_JUMPS = (  # the hours before clocks go forward and back, here and there
    datetime(2024, 3, 9, 22, 11),
    datetime(2024, 3, 10, 1, 50),
    datetime(2024, 3, 30, 23, 5),
    datetime(2024, 3, 31, 0, 5),
    datetime(2024, 10, 26, 23, 40),
    datetime(2024, 10, 27, 0, 30),
    datetime(2024, 11, 3, 0, 59),
    datetime(2023, 12, 31, 23, 59),
    datetime(2024, 2, 28, 12, 0),
)


def field(first, last):
    number = st.integers(first, last)
    span = st.lists(number, min_size=2, max_size=2, unique=True).map(sorted).map(lambda pair: f"{pair[0]}-{pair[1]}")
    step = st.integers(1, max(2, (last - first) // 2))
    return st.one_of(
        st.just("*"),
        number.map(str),
        step.map(lambda n: f"*/{n}"),
        span,
        st.tuples(span, step).map(lambda pair: f"{pair[0]}/{pair[1]}"),
        st.lists(number, min_size=2, max_size=4, unique=True).map(lambda found: ",".join(map(str, found))),
    )


EXPRESSIONS = st.tuples(field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6)).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(expression=EXPRESSIONS, zone=st.sampled_from(ZONES), start=st.sampled_from(NEAR_JUMPS))
def test_next_runs_are_those_of_the_reference_library(expression, zone, start):
    begin = start.replace(tzinfo=ZoneInfo(zone))
    reference = croniter(expression, begin)
    expected = [round(reference.get_next(float) * 1000) for _ in range(8)]
    assert runs(Schedule.unix(expression, zone), begin, 8) == expected


def runs(schedule, begin, count):
    found, at = [], round(begin.timestamp() * 1000)
    for _ in range(count):
        at = schedule.after(at)
        found.append(at)
    return found


def shown(schedule, begin, count):
    zone = schedule.tz
    begin = datetime.fromisoformat(begin).replace(tzinfo=zone)
    return [datetime.fromtimestamp(ms / 1000, zone).isoformat() for ms in runs(schedule, begin, count)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30 2 * * *", ["2024-03-10T03:00:00-04:00", "2024-03-11T02:30:00-04:00"]),
        ("30 * * * *", ["2024-03-10T01:30:00-05:00", "2024-03-10T03:30:00-04:00"]),
        ("15 1,2,3 * * *", ["2024-03-10T01:15:00-05:00", "2024-03-10T03:00:00-04:00"]),
    ],
)
def test_a_time_that_the_clock_leaves_out_runs_once_after_the_gap(expression, expected):
    assert shown(Schedule.unix(expression, "America/New_York"), "2024-03-10T00:30:00", 2) == expected


def test_a_time_that_the_clock_shows_twice_runs_twice_even_if_the_clock_goes_back_half_an_hour():
    schedule = Schedule.unix("45 1 * * *", "Australia/Lord_Howe")
    assert shown(schedule, "2024-04-07T00:00:00", 3) == [
        "2024-04-07T01:45:00+11:00",
        "2024-04-07T01:45:00+10:30",
        "2024-04-08T01:45:00+10:30",
    ]


@pytest.mark.parametrize(
    ("macro", "plain"),
    [("@hourly", "0 * * * *"), ("@daily", "0 0 * * *"), ("@WEEKLY", "0 0 * * sun"), ("@yearly", "0 0 1 jan *")],
)
def test_macros_stand_for_fields(macro, plain):
    assert Schedule.unix(macro) == Schedule.unix(plain)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 0 12 ? * MON-FRI", ["2024-01-01T12:00:00", "2024-01-02T12:00:00", "2024-01-03T12:00:00"]),
        ("0 0 12 ? * 1", ["2024-01-07T12:00:00", "2024-01-14T12:00:00"]),  # 1 is Sunday
        ("0 0 12 ? * FRI-MON", ["2024-01-01T12:00:00", "2024-01-05T12:00:00", "2024-01-06T12:00:00"]),
        ("0 0 0 L * ?", ["2024-01-31T00:00:00", "2024-02-29T00:00:00", "2024-03-31T00:00:00"]),
        ("0 15 10 ? * 6L", ["2024-01-26T10:15:00", "2024-02-23T10:15:00"]),  # the last Friday
        ("0 15 10 ? * 6#3", ["2024-01-19T10:15:00", "2024-02-16T10:15:00"]),  # the third
        ("0 15 10 ? * TUE#1,L", ["2024-01-02T10:15:00", "2024-01-06T10:15:00"]),
        ("0/20 59 23 1 1 ? 2025", ["2025-01-01T23:59:00", "2025-01-01T23:59:20", "2025-01-01T23:59:40"]),
        ("*/30 * * * * ?", ["2024-01-01T00:00:30", "2024-01-01T00:01:00"]),
    ],
)
def test_quartz_is_read_by_its_own_rules(expression, expected):
    assert shown(Schedule.quartz(expression), "2024-01-01T00:00:00", len(expected)) == [
        each + "+00:00" for each in expected
    ]


def test_quartz_years_that_are_over_are_never_due():
    assert Schedule.quartz("0 0 0 1 1 ? 2020").after(1_704_067_200_000) is None


@pytest.mark.parametrize(
    ("read", "expression", "words"),
    [
        (Schedule.unix, "0 0 *", "Cron expression contains 3 parts but we expect one of [5]"),
        (Schedule.unix, "", "Empty expression!"),
        (Schedule.unix, "60 * * * *", "values are 0 to 59"),
        (Schedule.unix, "* * * * 8", "values are 0 to 7"),
        (Schedule.unix, "*/0 * * * *", "a step is at least 1"),
        (Schedule.unix, "a * * * *", "[a] is no number"),
        (Schedule.unix, "0 0 30 2 *", "this is never due"),
        (Schedule.unix, "0 0 31 4,6 *", "this is never due"),
        (Schedule.unix, "@reboot", "Nickname [@reboot] is not one of"),
        (Schedule.quartz, "0 0 * * *", "Cron expression contains 5 parts but we expect one of [6, 7]"),
        (Schedule.quartz, "0 0 0 15W * ?", "only L alone is supported"),
        (Schedule.quartz, "0 0 0 LW * ?", "only L alone is supported"),
        (Schedule.quartz, "0 0 0 L-3 * ?", "only L alone is supported"),
        (Schedule.quartz, "0 0 0 1 * 2", "Both, a day-of-week AND a day-of-month"),
        (Schedule.quartz, "0 0 0 ? * 6#6", "weeks are 1 to 5"),
        (Schedule.quartz, "0 0 0 ? * 0", "values are 1 to 7"),
    ],
)
def test_what_cannot_be_done_is_refused_in_clear_words(read, expression, words):
    with pytest.raises(BadRequest) as refused:
        read(expression)
    assert words in refused.value.message


def test_a_zone_that_nobody_knows_is_refused():
    with pytest.raises(BadRequest, match="Mars/Olympus"):
        Schedule.unix("@daily", "Mars/Olympus")
