"""
A gate for changes: candidates held against a baseline, by a policy.

    policy            what may be lost, and when a loss is one
    baseline          a results folder, or a file with its history (baseline_file, baseline_update)
    judgement         pairs of models and a policy -> verdicts; sentences has their words
    holes             what cannot be judged, since one side lacks it
    speed_verdicts    the same of speed, measured in turns (speed_ratio)
    checking          the conductor: run what is missing, judge, update
"""
