"""Projects: an extension, by which a page or a program with an admin's key can choose one."""

from fastapi import APIRouter, Response

from understudy.api.answers import json_answer
from understudy.api.requests import CallerDep, ServicesDep
from understudy.protocol.projects import Project, ProjectList
from understudy.storage import projects

router = APIRouter(prefix="/projects", tags=["projects"])


@router.get("", response_model=ProjectList)
async def list_all(services: ServicesDep, caller: CallerDep) -> Response:
    """List the projects that the key may enter: all that are known with an admin's, with others their own."""
    known = set(await services.store.read(projects.names)) if caller.admin else set()
    found = [Project(id=name, current=name == caller.project) for name in sorted(known | {caller.project})]
    return json_answer(ProjectList(data=found, admin=caller.admin))
