"""What clients may send: fields, bodies, parameters, and the rows of files."""
