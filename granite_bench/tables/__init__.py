"""
Results to rows and columns: which result counts, the cells, averages, ranks, curves and gains.

    selection, weights                       which results count, and how much each column
    scores                                   cells of tasks and groups, averages
    model_facts, task_facts, variant_settings   what is known of a model, a task, a variant
    table, overview                          a suite; several suites side by side
    curves                                   quality along dimensions and lengths
    reranking                                what a reranker gains over its first stage
    run_command                              a result to the command that would make it
"""
