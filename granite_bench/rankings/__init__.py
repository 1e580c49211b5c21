"""
Rankings and judgements, kept and exchanged: what a reranker reorders, what others can score.

    ranking      a run -> the rows that are kept, and back
    first_stage  the kept ranking that a reranker is given
    per_query    scores of each query, by trec_eval's measures
    trec         the files of TREC: runs and judgements
    trec_export  kept rankings -> those files
"""
