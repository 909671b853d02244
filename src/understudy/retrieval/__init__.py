"""Pure work on text: parse, chunk, embed, fuse, cite."""
