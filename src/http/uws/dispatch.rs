//! From a request to the file of its resource.

use std::sync::Arc;

use bytes::Buf;
use futures_util::Stream;
use http::{HeaderMap, Method};
use warp::path::Tail;
use warp::reply::Response;

use super::fields::Fields;
use super::find::Seeker;
use super::intake::{self, Intake};
use super::job::Reading;
use super::routes::Uws;
use super::target::{Part, Target};
use super::{create, error, job, limits, list, parameters, phase, results, scalar};
use crate::config::Service;
use crate::domain::Job;
use crate::http::Api;
use crate::http::extract::Asked;
use crate::http::links::Links;
use crate::http::reply::ApiError;
use crate::http::resource::{is_read, other};

/// A request for something of a service.
pub(super) struct Request {
    /// The service.
    pub(super) service: String,
    /// The method.
    pub(super) method: Method,
    /// Who asks, for what.
    pub(super) asked: Asked,
    /// The headers.
    pub(super) headers: HeaderMap,
}

impl Request {
    /// Who looks for a job.
    pub(super) fn seeker(&self) -> Seeker {
        Seeker { service: self.service.clone(), caller: self.asked.caller.clone() }
    }

    /// The links of the service, as this client reaches it.
    pub(super) fn links(&self, api: &Api) -> Links {
        Links::of(&api.config.get().server, &self.asked, &self.headers, &self.service)
    }

    /// The fields of query and body together.
    async fn fields<B: Buf>(
        &self,
        api: &Api,
        body: impl Stream<Item = Result<B, warp::Error>> + Send,
    ) -> Result<Fields, ApiError> {
        let body = api.bodies.read(&self.headers, body).await?;
        Fields::of(self.asked.query(), &self.headers, body).await
    }

    /// The fields of query and body together, and the files.
    pub(super) async fn intake<B: Buf>(
        &self,
        api: &Arc<Api>,
        service: &Service,
        body: impl Stream<Item = Result<B, warp::Error>> + Send + 'static,
    ) -> Result<Intake, ApiError> {
        intake::read(api, service, self.asked.query(), &self.headers, body).await
    }
}

/// What a method wants.
enum Verb {
    Read,
    Post,
    Delete,
    Other,
}

impl Verb {
    fn of(method: &Method) -> Self {
        if is_read(method) {
            Self::Read
        } else if method == Method::POST {
            Self::Post
        } else if method == Method::DELETE {
            Self::Delete
        } else {
            Self::Other
        }
    }
}

/// What a request came to.
pub(super) enum Answered {
    /// An answer.
    Now(Response),
    /// The reading of a job, which may take long: thousands may wait so, and should hold no more than that.
    Reading(Box<Reading>),
}

/// The answer to a request for the path `tail` of a service.
pub(super) async fn answer<B: Buf>(
    uws: Arc<Uws>,
    request: Request,
    tail: Tail,
    body: impl Stream<Item = Result<B, warp::Error>> + Send + 'static,
) -> Result<Answered, ApiError> {
    let api = &uws.api;
    let config = api.config.get();
    let Some(service) = config.services.get(&request.service) else { return Err(ApiError::NoSuchPath) };
    let (id, part) = match Target::parse(tail.as_str())? {
        Target::List => return of_list(api, service, request, body).await.map(Answered::Now),
        Target::Job(id, part) => (id, part),
    };
    let found = request.seeker().job(api, id).await?;
    match (part, Verb::of(&request.method)) {
        (Part::Whole, Verb::Read) => Reading::new(&uws, &request, found).map(|one| Answered::Reading(Box::new(one))),
        (part, verb) => of_part(api, service, request, body, (found, part, verb)).await.map(Answered::Now),
    }
}

async fn of_list<B: Buf>(
    api: &Arc<Api>,
    service: &Service,
    request: Request,
    body: impl Stream<Item = Result<B, warp::Error>> + Send + 'static,
) -> Result<Response, ApiError> {
    match Verb::of(&request.method) {
        Verb::Read => list::get(api, &request).await,
        Verb::Post => {
            let intake = request.intake(api, service, body).await?;
            create::post(api, &request, service, intake).await
        }
        Verb::Delete | Verb::Other => other(&request.method, Target::LIST_METHODS),
    }
}

async fn of_part<B: Buf>(
    api: &Arc<Api>,
    service: &Service,
    request: Request,
    body: impl Stream<Item = Result<B, warp::Error>> + Send + 'static,
    (found, part, verb): (Box<Job>, Part, Verb),
) -> Result<Response, ApiError> {
    let id = found.id;
    match (part, verb) {
        (Part::Whole, Verb::Post) => {
            let fields = request.fields(api, body).await?;
            job::post(api, &request, id, fields).await
        }
        (Part::Whole, Verb::Delete) => job::delete(api, &request, id).await,
        (Part::Phase, Verb::Read) => Ok(scalar::phase(&request, &found)),
        (Part::Phase, Verb::Post) => {
            let fields = request.fields(api, body).await?;
            phase::post(api, &request, id, fields).await
        }
        (Part::ExecutionDuration, Verb::Read) => Ok(scalar::execution_duration(&request, &found)),
        (Part::ExecutionDuration, Verb::Post) => {
            let fields = request.fields(api, body).await?;
            limits::post_execution_duration(api, &request, id, fields).await
        }
        (Part::Destruction, Verb::Read) => Ok(scalar::destruction(&request, &found)),
        (Part::Destruction, Verb::Post) => {
            let fields = request.fields(api, body).await?;
            limits::post_destruction(api, &request, id, fields).await
        }
        (Part::Quote, Verb::Read) => Ok(scalar::quote(&request, api.handle.quote(&found).await?)),
        (Part::Owner, Verb::Read) => Ok(scalar::owner(&request, &found)),
        (Part::Error, Verb::Read) => error::get(api, &request, &found).await,
        (Part::Parameters, Verb::Read) => Ok(parameters::get(api, &request, &found)),
        (Part::Parameters, Verb::Post) => {
            let intake = request.intake(api, service, body).await?;
            parameters::post(api, &request, service, id, intake).await
        }
        (Part::Parameter(name), Verb::Read) => parameters::get_one(api, &request, &found, &name).await,
        (Part::Results, Verb::Read) => Ok(results::get(api, &request, &found)),
        (Part::Result(result), Verb::Read) => results::get_one(api, &request, &found, &result).await,
        (part, Verb::Read | Verb::Post | Verb::Delete | Verb::Other) => other(&request.method, part.methods()),
    }
}
