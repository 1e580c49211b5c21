"""
Models compared over one suite.

    measured          what one model's results say
    likeness          whether two of them are like for like
    differences       two of them: what differs, and whether it is beyond noise
    separation        the same for the neighbours in a ranking
    candidates        what is named on the command line -> rows of a table
    costs, money      what a model takes: storage, speed, memory, money
    shared_speeds     the speed of a loaded model, for its variants
    requirements      what it must have (--require); qualification, whether it has
    changed_queries   on which two differ most; task_texts, what those say
    side_by_side      all of it together
"""
