"""The grammar NAME[:key=value][@place], and the way from a name to an object."""
