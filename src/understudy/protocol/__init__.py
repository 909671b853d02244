"""What crosses the socket: one file per noun, pure, no I/O.

Requests are strict and closed models; answers are models whose keys and their order are the recorded ones
(surface.md, section 6). Parts of objects in which absent and null differ are typed dictionaries.
"""
