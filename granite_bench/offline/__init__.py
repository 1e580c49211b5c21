"""
Work without the internet: a folder that mirrors repositories of the hub.

    mirror      its layout, and whether what lies there is whole
    fetch_plan  which files a run needs, and how large they are
    fetch       fills it
"""
