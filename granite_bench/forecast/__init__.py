"""
A run on paper: hours, hours of devices, gigabytes and the bottleneck, before anything is loaded.

    texts       what is to be read: documents, queries, tokens
    languages   characters per token where no tokenizer can be asked
    devices     what a kind of device computes at most
    rates       tokens a second of a model on a device, and where the figure is from
    work        both together: what a cluster has to do, in seconds of a worker
    simulation  the work on a cluster, shard by shard
    sizes       gigabytes
    forecast    all of it for a plan, in a table's rows and in sentences

What is not known is named, never guessed: a job without sizes or a rate is left out of the totals,
and the totals say so. What is assumed stands in the forecast, with its source.
"""
