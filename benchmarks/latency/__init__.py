"""Time and memory of whole models: TVM's default build, schedules by prediction, tuning, and onnxruntime.

``python -m benchmarks.latency [NAME...]`` builds each model of the set and times all builds interleaved, in one process
and with one thread. Memory is counted in a process of its own for each. Results are saved immediately.
"""
