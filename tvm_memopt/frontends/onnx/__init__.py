"""Import of ONNX files: shapes, folding, rewrites of operators that TVM's importer lacks, and the import itself."""
