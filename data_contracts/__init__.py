"""What the stages agree on: settings, artifacts, Arrow schemas, expectation suites. The leaf of the imports."""
