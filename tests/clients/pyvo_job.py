"""Drives whole jobs with pyVO, as an astronomer's script does: pyvo_job.py JOB_LIST_URL CUTOUT_LIST_URL."""

import datetime
import sys
import time

import pyvo
import requests
from pyvo.dal.tap import AsyncTAPJob
from pyvo.io import uws


def make(job_list, **parameters):
    """Makes a PENDING job and returns it as pyVO sees it."""
    answer = requests.post(job_list, data=parameters)
    answer.raise_for_status()  # the redirection leads to the job's document
    return AsyncTAPJob(answer.url)


def the_whole_life_of_a_job(job_list):
    job = make(job_list, COMMAND="echo hello | tee $JOB_OUTPUT_DIR/result; echo more > $JOB_OUTPUT_DIR/more.txt", RUNID="by pyvo")
    assert job.phase == "PENDING", job.phase
    assert job.owner in (None, ""), job.owner
    job.execution_duration = 30
    assert float(str(job.execution_duration)) == 30, job.execution_duration
    later = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(days=2)
    job.destruction = later
    assert job.destruction.isot.startswith(later.strftime("%Y-%m-%dT%H:%M:%S")), job.destruction
    job._session.post(f"{job.url}/parameters", data={"ENVIRONMENT": "NIGHT=20310304"}).raise_for_status()
    job.run()
    job.wait(phases={"COMPLETED", "ERROR", "ABORTED"}, timeout=60)
    job.raise_if_error()
    assert job.phase == "COMPLETED", job.phase
    ids = [result.id_ for result in job.job.results]
    assert ids == ["more.txt", "result", "stdout", "stderr"], ids
    assert job.result_uri.endswith("/results/result"), job.result_uri
    assert requests.get(job.result_uri).text == "hello\n"
    values = {parameter.id_: parameter.content for parameter in job.job.parameters}
    assert values["ENVIRONMENT"] == "NIGHT=20310304", values
    assert job.job.runid == "by pyvo", job.job.runid
    url = job.url
    job.delete()
    assert requests.get(url).status_code == 404


def a_job_that_fails_says_why(job_list):
    job = make(job_list, COMMAND="echo oops >&2; exit 3").run().wait(timeout=60)
    assert job.phase == "ERROR", job.phase
    try:
        job.raise_if_error()
    except pyvo.dal.DALQueryError as error:
        assert "the command exited with code 3" in str(error), error
    else:
        raise AssertionError("no error was raised")


def a_job_is_aborted(job_list):
    job = make(job_list, COMMAND="sleep 600").run()
    job.wait(phases={"EXECUTING"}, timeout=60)
    job.abort()
    deadline = time.monotonic() + 60
    while job.phase != "ABORTED":  # pyVO does not wait for a job that may have ended
        assert time.monotonic() < deadline, job.phase
        time.sleep(0.1)


def the_list_is_read(job_list):
    text = requests.get(job_list, params={"LAST": 2}).content
    with open("list.xml", "wb") as file:
        file.write(text)
    jobs = uws.parse_job_list("list.xml")
    assert len(list(jobs)) == 2, jobs
    assert {job.phase for job in jobs} <= {"ERROR", "ABORTED"}, jobs


def typed_parameters_and_an_upload(cutout_list):
    made = requests.post(
        cutout_list,
        data={"ra": "10.5", "Band": ["g", "r"], "CATALOG": "param:rows"},
        files={"rows": ("rows.csv", "a,b\n1,2\n", "text/csv")},
    )
    made.raise_for_status()
    job = AsyncTAPJob(made.url).run().wait(timeout=60)
    job.raise_if_error()
    assert requests.get(job.result_uri).text == "10.5 g,r\na,b\n1,2\n"
    refused = requests.post(cutout_list, data={"RA": "400"})
    assert (refused.status_code, refused.text) == (400, 'RA is "400"; give a real number from 0 to 360'), refused.text


def the_service_describes_itself(job_list):
    base = job_list.rsplit("/", 1)[0]
    standards = {capability.standardid for capability in pyvo.dal.tap.TAPService(base).capabilities}
    assert "ivo://ivoa.net/std/UWS#rest-1.1" in standards, standards
    assert pyvo.dal.tap.TAPService(base).available is True


def main():
    job_list, cutout_list = sys.argv[1:]
    the_whole_life_of_a_job(job_list)
    a_job_that_fails_says_why(job_list)
    a_job_is_aborted(job_list)
    the_list_is_read(job_list)
    typed_parameters_and_an_upload(cutout_list)
    the_service_describes_itself(job_list)
    print("pyVO", pyvo.__version__, "drove every job to its end")


main()
