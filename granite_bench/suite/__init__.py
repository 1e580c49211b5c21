"""
suites/*.yaml -> what to measure, validated, with every fault of a file named at once.

A suite says everything that the reading side needs (subsets, splits, metric), so that a table
can tell what is missing without importing mteb. A test compares each list with mteb's registry.
A file with *tasks* is a suite; one with *suites* is an overview, suites side by side.

    suite     tasks, how their scores are averaged, and the models usually compared
    overview  suites side by side
    panel     a set of models
    shipped   those that come with the package, and a name -> its file
    document  what the three formats have in common
"""
