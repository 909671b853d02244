"""The bytes of files: on a local disk or in an object store, behind one port."""
