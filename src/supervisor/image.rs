//! Which image a job runs: its service's, with another tag if the job asks for one in its environment and may have it.

use crate::config::Service;
use crate::domain::jdl::Unfit;
use crate::domain::{Work, tag_of, tagged};
use crate::ports::Pull;

/// The image of a job of `service`, and when it is fetched.
///
/// # Errors
/// [`Unfit`] for a tag that is none, or that is not allowed.
pub(super) fn of(service: &Service, work: &Work) -> Result<(String, Pull), Unfit> {
    let asked = service.image_tag_from.iter().find_map(|name| Some((name, value_of(name, work)?)));
    let image = match asked {
        Some((name, tag)) => {
            let image = tagged(&service.image, tag).ok_or_else(|| {
                let why = format!("{name} is {tag:?}; give a tag of letters, digits, '_', '.' and '-'");
                Unfit { name: name.clone(), why }
            })?;
            if !service.allowed_images.iter().any(|allowed| allowed.is_match(&image)) {
                let why = format!("{name} asks for the image {image}, which this service does not run");
                return Err(Unfit { name: name.clone(), why });
            }
            image
        }
        None => service.image.clone(),
    };
    let is_moving = service.pull_always.iter().any(|pattern| pattern.is_match(tag_of(&image)));
    let pull = if is_moving && service.pull == Pull::Missing { Pull::Always } else { service.pull };
    Ok((image, pull))
}

/// The value of a variable, if it is not empty; of a repeated name the last, as in the job.
fn value_of<'a>(name: &str, work: &'a Work) -> Option<&'a str> {
    let given = work.environment.iter().rev().find(|variable| variable.name == name)?;
    Some(given.value.as_str()).filter(|value| !value.is_empty())
}

#[cfg(all(test, feature = "test-support"))]
mod tests {
    use super::*;
    use crate::config::testing;
    use crate::domain::{ImagePattern, Variable};

    fn of(service: &Service, tags: &[(&str, &str)]) -> Result<(String, Pull), String> {
        let variable = |(name, value): &(&str, &str)| Variable::new(*name, *value).expect("fine");
        let work = Work { environment: tags.iter().map(variable).collect(), ..Work::of_command("true") };
        super::of(service, &work).map_err(|unfit| unfit.why)
    }

    #[test]
    fn a_job_may_ask_for_another_tag_and_an_empty_one_is_the_default() {
        let service = Service {
            image: "ghcr.io/lsst/scipipe:d_latest".to_owned(),
            image_tag_from: vec!["UWS_JOB_IMAGE_TAG".to_owned(), "IMAGE_TAG".to_owned()],
            allowed_images: vec![ImagePattern::new("ghcr.io/lsst/scipipe:*")],
            pull_always: vec![ImagePattern::new("d_*")],
            ..testing::service()
        };
        let image = |tag: &str| format!("ghcr.io/lsst/scipipe:{tag}");
        assert_eq!(of(&service, &[]), Ok((image("d_latest"), Pull::Always)));
        assert_eq!(of(&service, &[("IMAGE_TAG", "")]), Ok((image("d_latest"), Pull::Always)));
        assert_eq!(of(&service, &[("IMAGE_TAG", "w_2")]), Ok((image("w_2"), Pull::Missing)));
        let both = [("IMAGE_TAG", "w_2"), ("UWS_JOB_IMAGE_TAG", "w_3"), ("UWS_JOB_IMAGE_TAG", "w_4")];
        assert_eq!(of(&service, &both), Ok((image("w_4"), Pull::Missing)));
        assert_eq!(of(&service, &[("OTHER_TAG", "x")]), Ok((image("d_latest"), Pull::Always)));
        for bad in ["a/b", "a:b", "@sha256", "-x", "a b", &"x".repeat(129)] {
            let why = of(&service, &[("IMAGE_TAG", bad)]).expect_err("no tag");
            assert!(why.starts_with("IMAGE_TAG is "), "{why}");
        }
        let strict = Service { allowed_images: vec![ImagePattern::new("*/scipipe:w_*")], ..service };
        assert_eq!(of(&strict, &[("IMAGE_TAG", "w_2")]), Ok((image("w_2"), Pull::Missing)));
        let why = of(&strict, &[("IMAGE_TAG", "d_1")]).expect_err("not allowed");
        assert_eq!(why, format!("IMAGE_TAG asks for the image {}, which this service does not run", image("d_1")));
    }
}
