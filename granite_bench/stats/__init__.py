"""
Statistics as pure functions over arrays.

    bootstrap     means, their intervals, strata
    significance  paired randomisation tests, Holm's correction, detectable differences
    pareto        which candidates no other one beats in everything
"""
