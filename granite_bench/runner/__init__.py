"""
The one conductor: plan -> engine -> mteb -> store.

    preparation     what is asked for -> a checked plan
    execution       the plan, job by job
    task_scores     mteb's scores of a task, part by part
    encoding_ahead  the vectors of a later run, in shares
    run_record      how each number came about
"""
