"""Says after the tests how much was tried."""


def pytest_terminal_summary(terminalreporter):
    found = [value for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
             for name, value in report.user_properties if name == "chaos"]  # fmt: skip
    if found:
        flows, calls, runs = (sum(column) for column in zip(*found, strict=True))
        terminalreporter.write_line(f"chaos: {runs:,} runs, one for each fault at {calls:,} I/O calls of {flows} flows")
