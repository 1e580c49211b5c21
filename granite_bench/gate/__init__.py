"""
A gate for changes: candidates held against a baseline, by a policy.

    policy            what may be lost, and when a loss is one
    baseline          a results folder, or a file with its history (baseline_file, baseline_update)
    judgement         pairs of models and a policy -> verdicts
    ruling            one difference under one rule; sentences has the words
    suite_scores      scores of a task and of a suite, of what stands in no result
    revisions         a model at one revision, and its results in one folder
    holes             what cannot be judged, since one side lacks it
    speed_verdicts    the same of speed, measured in turns (speed_ratio)
    request           what is asked for
    candidates        the models that are judged, from a run or from results that are there
    checking          all of it together: run what is missing, judge, update
"""
