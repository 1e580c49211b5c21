"""
Files of this machine and behind URLs: read safely, written whole or not at all.

    local         names, sizes and atomic writes on this machine
    urls          a path or a URL, as a person wrote it
    locations     the same few calls for a folder here and one behind a URL
    json_file, yaml_file, parquet_file, text_lines   what others may have written -> content
    validation    what is wrong with the content, in our words
"""
