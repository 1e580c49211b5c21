"""
Texts to vectors to a ranked run, under mteb's protocols.

    backends/      models, and what they are given
    endpoint/      models behind a server
    encoding/      texts to vectors, each once, in shards that survive a crash
    vectors/       vectors, in memory and in the store
    search/        vectors to a ranked run

    form_loading   a model that was found -> the form that mteb evaluates
    forms, dense_retriever, sparse_retriever, reranker   those forms
    observed_search, observation                         a model with a search of its own
    variants       fewer dimensions, fewer bits
    sparsity       how sparse vectors are
    scoring, measures   mteb's scores, from arrays
"""
