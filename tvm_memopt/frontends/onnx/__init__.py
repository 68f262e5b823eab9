"""ONNX files: shapes, folding, operators that TVM's importer lacks, and the import itself."""
