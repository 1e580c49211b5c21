"""
What is to be run, before any of it is: tasks and options to jobs.

    run_spec       a suite, an overview or tasks by name, with what options put instead
    option_faults  what is wrong with the options taken together
    plan           models x tasks to jobs, and what of them is done already
    disk_space     whether their vectors fit the disk
"""
