"""The gates of docs/signals.md, in their order: each candidate is published, or stopped for one reason."""

from __future__ import annotations

import numpy as np

from engine.core.detmath import exp
from engine.core.kernel import inlined, kernel
from engine.core.layouts import SLOTS
from engine.core.schema import Status, Tier
from engine.core.signal_columns import NOT_SCORED, Stop

OK, TIERS = int(Status.OK), len(Tier)
LN_2 = 0.6931471805599453
SECONDS_PER_MINUTE = 60
SEVERITY_MAX = 100
ILLIQUIDITY_WEIGHT = 0.3
(
    PUBLISHED, MEMBERSHIP, DQ, WARMUP, ILLIQUID, PRECONDITION, REGIME, THRESHOLD, _VETO, REARM, COALESCED, COOLDOWN,
    BUDGET_SYMBOL, BUDGET_GLOBAL,
) = (int(stop) for stop in Stop)  # fmt: skip


@inlined
def counted(value, most):
    """A primary or secondary value as the severity reads it."""
    return min(max(value, 0.0), most) if value == value else 0.0


@inlined
def novelty_of(key, detector, minute, half_life_s, weight):
    """What it adds that the key's last signal is long ago, or was of another detector."""
    if key.minute < 0 or key.detector != detector:
        return weight
    age_s = float(SECONDS_PER_MINUTE * (minute - key.minute))
    return weight * (1.0 - exp(-age_s / float(half_life_s) * LN_2))


@inlined
def state_gate(row, found, rule, volatility):
    """The first gate that looks at the minute alone and stops it; PUBLISHED: none does."""
    if row.is_in_universe != 1 and row.is_hot != 1:
        return MEMBERSHIP
    if row.dq_status != OK:
        return DQ
    if row.is_warming_up != 0:
        return WARMUP
    if row.illiquidity_hit != 0:
        return ILLIQUID
    if found.is_allowed == 0:
        return PRECONDITION
    if volatility >= 0 and (rule.stopped_in >> volatility) & 1:
        return REGIME
    return PUBLISHED


@kernel
def gather(
    members, minute, reads, rows, market, findings, rules, quarantined, novelty_weight, rearm_share, keys, disarmed, out
):
    """Arm detectors, and write every candidate with the first gate that stops it up to `threshold`; how many there are.

    reads: (n,) int64, 1 where this reading of a member's minute counts. out: CANDIDATE, by member and detector.
    """
    breadth, volatility = market[0].shock_share, market[0].volatility_regime
    if breadth != breadth:
        breadth = 0.0
    count = 0
    for i in range(members.shape[0]):
        s = members[i]
        row = rows[s]
        tier = row.tier if 0 <= row.tier < TIERS else 0
        for d in range(rules.shape[0]):
            rule, found = rules[d], findings[d, s]
            if rule.runs == 0 or quarantined[d]:
                continue
            threshold = rule.threshold[tier]
            if reads[i] and not (found.is_met == 1 and found.measure >= rearm_share * threshold):
                disarmed[s, d] = 0
            if not (found.is_met == 1 and found.measure >= threshold):
                continue
            one, key = out[count], keys[s, rule.place]
            count += 1
            one.symbol, one.detector, one.direction = s, d, found.direction
            one.measure, one.threshold = found.measure, threshold
            one.primary, one.secondary = found.primary, found.secondary
            one.severity, one.novelty, one.raw = NOT_SCORED, np.nan, np.nan
            one.first_minute, one.into = key.first_minute, -1
            one.reason = state_gate(row, found, rule, volatility)
            if one.reason != PUBLISHED:
                continue
            one.novelty = novelty_of(key, d, minute, rule.half_life_s, novelty_weight)
            raw = rule.primary_weight * counted(found.primary, rule.primary_max)
            raw += rule.secondary_weight * counted(found.secondary, rule.secondary_max)
            raw += rule.breadth_weight * breadth
            raw += one.novelty
            if row.illiquidity_penalty == 1:
                raw -= ILLIQUIDITY_WEIGHT
            one.raw = raw
            one.severity = np.int64(np.rint(100.0 / (1.0 + exp(-rule.steepness * (raw - rule.offset)))))
            if one.severity < rule.severity_min:
                one.reason = THRESHOLD
    return count


@kernel
def coalesce(candidates, rules, escalation_pct, keys, disarmed):
    """`rearm` and `coalesced`: of a symbol's class the best one goes on. candidates: by symbol and detector."""
    for k in range(candidates.shape[0]):
        one = candidates[k]
        if one.reason == PUBLISHED and disarmed[one.symbol, one.detector]:
            last = keys[one.symbol, rules[one.detector].place].severity
            if one.severity * 100 < escalation_pct * last:
                one.reason = REARM
    begin = 0
    while begin < candidates.shape[0]:
        end = begin
        while end < candidates.shape[0] and candidates[end].symbol == candidates[begin].symbol:
            end += 1
        for k in range(begin, end):
            one = candidates[k]
            for other in range(begin, end):
                rival = candidates[other]
                better = rival.severity > one.severity or (rival.severity == one.severity and other < k)
                same = rules[rival.detector].place == rules[one.detector].place
                if one.reason == PUBLISHED and same and better and (rival.reason in (PUBLISHED, COALESCED)):
                    one.reason = COALESCED
        for k in range(begin, end):
            one = candidates[k]
            for other in range(begin, end):
                rival = candidates[other]
                same = rules[rival.detector].place == rules[one.detector].place
                if one.reason == COALESCED and rival.reason == PUBLISHED and same:
                    one.into = rival.detector
        begin = end


@kernel
def debounce(candidates, minute, rules, escalation_pct, keys):
    """`cooldown` and `budget_symbol`: at most one candidate of a key is left here."""
    for k in range(candidates.shape[0]):
        one = candidates[k]
        if one.reason != PUBLISHED:
            continue
        rule = rules[one.detector]
        key = keys[one.symbol, rule.place]
        age_s = SECONDS_PER_MINUTE * (minute - key.minute)
        same = key.minute >= 0 and key.detector == one.detector
        if same and age_s < rule.cooldown_s and one.severity * 100 < escalation_pct * key.severity:
            one.reason = COOLDOWN
        elif key.minute == minute and key.count >= rule.budget:
            one.reason = BUDGET_SYMBOL


@kernel
def ration(candidates, minute, most, rules, budgets):
    """`budget_global`: who gets one of the minute's places, `most` over all venues."""
    spent = budgets[minute % SLOTS]
    if spent.minute != minute:
        spent.minute, spent.total = minute, 0
        for place in range(spent.of_class.shape[0]):
            spent.of_class[place] = 0
    left = most - spent.total
    wanted = 0
    for k in range(candidates.shape[0]):
        wanted += candidates[k].reason == PUBLISHED
    if wanted > left:
        for k in range(candidates.shape[0]):
            if candidates[k].reason == PUBLISHED:
                candidates[k].reason = BUDGET_GLOBAL  # until a place is found
        for firsts_only in (True, False):
            for severity in range(SEVERITY_MAX, -1, -1):
                for k in range(candidates.shape[0]):
                    one = candidates[k]
                    place = rules[one.detector].place
                    if left <= 0 or one.reason != BUDGET_GLOBAL or one.severity != severity:
                        continue
                    if firsts_only and spent.of_class[place] > 0:
                        continue
                    one.reason = PUBLISHED
                    spent.of_class[place] += 1
                    left -= 1
    else:
        for k in range(candidates.shape[0]):
            if candidates[k].reason == PUBLISHED:
                spent.of_class[rules[candidates[k].detector].place] += 1
    for k in range(candidates.shape[0]):
        spent.total += candidates[k].reason == PUBLISHED


@kernel
def remember(candidates, minute, rules, keys, disarmed):
    """What the signals of this reading teach: keys, and which detectors have to be armed again."""
    for k in range(candidates.shape[0]):
        one = candidates[k]
        if one.reason != PUBLISHED:
            continue
        key = keys[one.symbol, rules[one.detector].place]
        key.count = key.count + 1 if key.minute == minute else 1
        if key.first_minute < 0:
            key.first_minute = minute
        key.minute, key.detector, key.severity = minute, one.detector, one.severity
        disarmed[one.symbol, one.detector] = 1
    for k in range(candidates.shape[0]):
        one = candidates[k]
        if one.into < 0:
            continue
        key = keys[one.symbol, rules[one.detector].place]
        if key.minute == minute and key.detector == one.into:
            disarmed[one.symbol, one.detector] = 1
