"""
The results folder: mteb's JSON with a record beside each, rows per query, and speed records.

    tree              the results below a folder
    index             what was read of them before, so that a second reading is fast
    result_files      one file of scores, or one record, checked
    store             writes them, and merges what a later run adds
    speed_records     the files of results/speed
    speed_comparison  what measurements that took turns say of each other
    speed_columns     which figures of speed may share a column
"""
