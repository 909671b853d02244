"""What runs inside the jail, by the sandbox's own Python: nothing here may import anything of the server's.

The modules keep their dotted names there, so they import each other in the same way on both sides of the wall.
"""
