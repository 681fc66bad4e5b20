"""Change tests at a chosen false-alarm rate: p-values of ratios, stacks and coherence, on arrays.

A p-value is the probability, where nothing changed, of data that deviate from "no change" at least as much as those
observed. Flagging p-values of at most 0.01 flags 1 % of unchanged ground, as far as the model of unchanged ground
holds.
"""
