"""Tests of change with a chosen rate of false alarms: p-values of ratios, stacks and coherence, from arrays.

A p-value is the probability, where nothing changed, of data at least as unlike "no change" as those found. Flagging
where it is at most 0.01 flags 1 % of unchanged ground, as far as its model of unchanged ground holds.
"""
