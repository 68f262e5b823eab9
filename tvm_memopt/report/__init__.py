"""Human-readable plans: terminal charts, PNG and SVG, an HTML page, and exports for other tools."""

from tvm_memopt.report.buffers_csv import buffers_csv, write_buffers_csv
from tvm_memopt.report.chart import write_chart
from tvm_memopt.report.context import BuildFigures, ReportContext
from tvm_memopt.report.html import write_report
from tvm_memopt.report.summary import summary_line
from tvm_memopt.report.text import TextStyle, print_chart, text_chart
from tvm_memopt.report.timeline import Band, Block, Holder, Step, Timeline, build_timeline
from tvm_memopt.report.trace import trace_json, write_trace

__all__ = [
    "Band",
    "Block",
    "BuildFigures",
    "Holder",
    "ReportContext",
    "Step",
    "TextStyle",
    "Timeline",
    "buffers_csv",
    "build_timeline",
    "print_chart",
    "summary_line",
    "text_chart",
    "trace_json",
    "write_buffers_csv",
    "write_chart",
    "write_report",
    "write_trace",
]
