"""The real sandbox obeys the contract."""

from tests.sandbox import sandbox_contract as contract


class TestCodeRuns(contract.CodeRuns):
    pass


class TestFilesGoInAndOut(contract.FilesGoInAndOut):
    pass


class TestSessionsAreApart(contract.SessionsAreApart):
    pass


class TestSessionsEnd(contract.SessionsEnd):
    pass
