//! Images of the services: in the engine or not, and whether their registries give them.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::finding::{Finding, Subject};
use crate::backend::docker::{Examination, FromRegistry};
use crate::config::{Config, Service};
use crate::domain::{HUB, ImagePattern, in_registry, repository_of, tag_of};
use crate::ports::Pull;

/// An image that jobs need.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Need {
    image: String,
    /// The services whose image it is.
    services: Vec<String>,
    /// Those of them whose jobs fetch it anew each, and cannot run without its registry.
    anew: Vec<String>,
    /// When it is fetched, of all services the strictest: the one that fails first.
    pull: Pull,
}

/// `daemon` is the name of the daemon's user.
pub(super) async fn look(config: &Config, daemon: &str, examination: &Examination) -> Vec<Finding> {
    let each = join_all(needs(config).into_iter().map(|need| look_at(need, config, daemon, examination)));
    let (each, patterns) = tokio::join!(each, patterns(config, examination));
    each.into_iter().flatten().chain(patterns).collect()
}

async fn look_at(need: Need, config: &Config, daemon: &str, examination: &Examination) -> Vec<Finding> {
    let is_there = examination.has_image(&need.image).await;
    let mut findings = vec![image(&need, &is_there)];
    if need.pull != Pull::Never || !need.anew.is_empty() {
        let answer = examination.ask_registry(&need.image).await;
        let logins = config.backend.docker.credentials.parent().map(|dir| dir.display().to_string());
        // What root writes there the daemon could not read.
        let login = format!("runuser -u {daemon} -- docker --config {} login", logins.unwrap_or_default());
        findings.extend(registry(&need, is_there == Ok(true), answer, &login));
    }
    findings
}

fn needs(config: &Config) -> Vec<Need> {
    let mut needs: BTreeMap<&str, Need> = BTreeMap::new();
    for (name, service) in &config.services {
        let need = needs.entry(&service.image).or_insert_with(|| Need {
            image: service.image.clone(),
            services: Vec::new(),
            anew: Vec::new(),
            pull: Pull::Missing,
        });
        let pull = pull_of(service);
        need.services.push(name.clone());
        if pull == Pull::Always {
            need.anew.push(name.clone());
        }
        need.pull = match (pull, need.pull) {
            (Pull::Never, _) | (_, Pull::Never) => Pull::Never,
            (Pull::Always, _) | (_, Pull::Always) => Pull::Always,
            (Pull::Missing, Pull::Missing) => Pull::Missing,
        };
    }
    needs.into_values().collect()
}

fn pull_of(service: &Service) -> Pull {
    let moves = service.pull_always.iter().any(|pattern| pattern.is_match(tag_of(&service.image)));
    if moves && service.pull != Pull::Never { Pull::Always } else { service.pull }
}

fn image(need: &Need, is_there: &Result<bool, String>) -> Finding {
    let Need { image, services, pull, .. } = need;
    let services = services.join(", ");
    match (is_there, pull) {
        (Ok(true), Pull::Never | Pull::Missing) => {
            Finding::fine(Subject::Images, format!("{image} of {services} is in the engine"))
        }
        (Ok(true), Pull::Always) => Finding::fine(
            Subject::Images,
            format!("{image} of {services} is in the engine, and is fetched anew before every job"),
        ),
        (Ok(false), Pull::Never) => Finding::wrong(
            Subject::Images,
            format!("{image} of {services} is not in the engine, and pull = \"never\""),
            format!("docker pull {image}    # without a network: docker load -i FILE"),
        ),
        (Ok(false), Pull::Missing | Pull::Always) => Finding::odd(
            Subject::Images,
            format!("{image} of {services} is not in the engine: the first job waits for it"),
            format!("uwsd prefetch {image}"),
        ),
        (Err(why), _) => Finding::wrong(
            Subject::Images,
            format!("the engine does not tell whether it has {image} of {services}: {why}"),
            format!("docker image inspect {image}"),
        ),
    }
}

/// `login` is the command for a login that the daemon uses, but for the registry.
fn registry(need: &Need, is_there: bool, answer: FromRegistry, login: &str) -> Option<Finding> {
    let Need { image, services, anew, .. } = need;
    let why = match answer {
        FromRegistry::NotTold => return None,
        FromRegistry::Has(name) if name == *image => {
            let registry = in_registry(image).0;
            return Some(Finding::fine(Subject::Registries, format!("{registry} gives {image}")));
        }
        FromRegistry::Has(name) => {
            return Some(Finding::fine(Subject::Registries, format!("a mirror gives {image} as {name}")));
        }
        FromRegistry::HasNot(why) => why,
    };
    let registry = in_registry(image).0;
    let words = why.to_lowercase();
    let remedy = if ["unauthorized", "denied", "no basic auth", "authentication"]
        .iter()
        .any(|word| words.contains(word))
    {
        format!("{login} {registry}    # or is the name {image} right?")
    } else if ["not found", "manifest unknown", "unknown manifest"].iter().any(|word| words.contains(word)) {
        format!("look at image of [service.{}]: {registry} has no {image}", services.first().map_or("", String::as_str))
    } else {
        let host = if registry == HUB { "registry-1.docker.io" } else { registry };
        format!(
            "curl -sSI https://{host}/v2/    # look at the network, at the engine's proxy and at backend.docker.mirrors"
        )
    };
    let sentence = format!("the engine does not get {image} from its registry: {why}");
    Some(match (is_there, anew.as_slice()) {
        (false, _) => {
            let services = services.join(", ");
            Finding::wrong(Subject::Registries, format!("{sentence}; jobs of {services} cannot run"), remedy)
        }
        (true, []) => {
            let services = services.join(", ");
            Finding::odd(Subject::Registries, format!("{sentence}; jobs of {services} use what is there"), remedy)
        }
        (true, [first, ..]) => {
            let services = anew.join(", ");
            Finding::wrong(
                Subject::Registries,
                format!("{sentence}; jobs of {services} fetch it anew each, and cannot run"),
                format!(
                    "{remedy}; or let them use what is there: pull = \"missing\", no pull_always in [service.{first}]"
                ),
            )
        }
    })
}

/// What jobs may ask for by a tag, where a service says it.
async fn patterns(config: &Config, examination: &Examination) -> Vec<Finding> {
    // Without a list any tag of the own image is let, of which nothing is to be told.
    let any_tag = |service: &Service| [ImagePattern::new(format!("{}:*", repository_of(&service.image)))];
    let services: Vec<_> =
        config.services.iter().filter(|(_, service)| service.allowed_images != any_tag(service)).collect();
    if services.is_empty() {
        return Vec::new();
    }
    // That the engine does not tell is told of each image already.
    let Ok(names) = examination.names_of_images().await else { return Vec::new() };
    services.into_iter().map(|(name, service)| allowed(name, service, &names)).collect()
}

fn allowed(name: &str, service: &Service, names: &[String]) -> Finding {
    let is_allowed = |image: &&String| service.allowed_images.iter().any(|pattern| pattern.is_match(image));
    let count = names.iter().filter(is_allowed).count();
    let sentence = format!("{count} images in the engine are such as jobs of {name} may ask for (allowed_images)");
    if count == 0 && service.pull == Pull::Never {
        return Finding::odd(
            Subject::Images,
            format!("{sentence}, and pull = \"never\""),
            format!("docker pull IMAGE, or look at allowed_images of [service.{name}]"),
        );
    }
    Finding::fine(Subject::Images, sentence)
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    fn need(pull: Pull) -> Need {
        let services = vec!["ocps".to_owned()];
        let anew = if pull == Pull::Always { services.clone() } else { Vec::new() };
        Need { image: "r.example/x:1".into(), services, anew, pull }
    }

    #[test]
    fn an_absent_image_is_wrong_only_if_it_cannot_be_fetched() {
        for (is_there, pull, state, remedy) in [
            (Ok(true), Pull::Never, State::Fine, None),
            (Ok(true), Pull::Always, State::Fine, None),
            (Ok(false), Pull::Never, State::Wrong, Some("docker pull r.example/x:1")),
            (Ok(false), Pull::Missing, State::Odd, Some("uwsd prefetch r.example/x:1")),
            (Ok(false), Pull::Always, State::Odd, Some("uwsd prefetch r.example/x:1")),
            (Err("oops".to_owned()), Pull::Missing, State::Wrong, Some("docker image inspect")),
        ] {
            let found = image(&need(pull), &is_there);
            assert_eq!(found.state, state, "{is_there:?} {pull:?}");
            assert_eq!(found.remedy.is_some(), remedy.is_some());
            assert!(found.remedy.unwrap_or_default().starts_with(remedy.unwrap_or_default()));
        }
    }

    #[test]
    fn a_silent_registry_is_wrong_only_where_the_image_is_absent() {
        let answer = |why: &str| FromRegistry::HasNot(why.to_owned());
        for (is_there, answer, state, remedy) in [
            (false, FromRegistry::Has("r.example/x:1".into()), State::Fine, ""),
            (false, FromRegistry::Has("mirror/x:1".into()), State::Fine, ""),
            (true, answer("dial tcp: connection refused"), State::Odd, "curl -sSI https://r.example/v2/"),
            (false, answer("dial tcp: connection refused"), State::Wrong, "curl -sSI https://r.example/v2/"),
            (
                false,
                answer("unauthorized: authentication required"),
                State::Wrong,
                "runuser -u uwsd -- docker login r.example",
            ),
            (false, answer("manifest unknown"), State::Wrong, "look at image of [service.ocps]"),
        ] {
            let login = "runuser -u uwsd -- docker login";
            let found = registry(&need(Pull::Missing), is_there, answer.clone(), login).expect("told");
            assert_eq!(found.state, state, "{answer:?}");
            assert!(found.remedy.unwrap_or_default().starts_with(remedy), "{answer:?}");
        }
        assert_eq!(registry(&need(Pull::Missing), false, FromRegistry::NotTold, ""), None);
    }

    #[test]
    fn a_silent_registry_is_wrong_for_jobs_that_fetch_anew_also_where_the_image_is_there() {
        let silent = || FromRegistry::HasNot("dial tcp: connection refused".into());
        let found = registry(&need(Pull::Always), true, silent(), "login").expect("told");
        assert_eq!(found.state, State::Wrong);
        assert!(found.sentence.ends_with("; jobs of ocps fetch it anew each, and cannot run"), "{}", found.sentence);
        let remedy = found.remedy.unwrap_or_default();
        assert!(remedy.starts_with("curl -sSI https://r.example/v2/"), "{remedy}");
        assert!(remedy.ends_with("pull = \"missing\", no pull_always in [service.ocps]"), "{remedy}");
        // Of two services with one image only those that fetch it anew are named.
        let both = Need { services: vec!["other".into(), "ocps".into()], ..need(Pull::Always) };
        let found = registry(&both, true, silent(), "login").expect("told");
        assert!(found.sentence.contains("; jobs of ocps fetch"), "{}", found.sentence);
    }

    #[test]
    fn services_with_the_same_image_need_it_once_and_the_strictest_counts() {
        let host = crate::config::Host { cpus: 4.0, memory: 8 << 30 };
        let mut config = Config::defaults(std::path::Path::new("/nowhere"), host);
        let ocps = config.services["ocps"].clone();
        let tag = tag_of(&ocps.image).to_owned();
        assert_eq!(needs(&config)[0].pull, Pull::Missing);
        config.services.insert("b".into(), Service { pull_always: vec![ImagePattern::new(tag)], ..ocps.clone() });
        assert_eq!((needs(&config).len(), needs(&config)[0].pull), (1, Pull::Always));
        assert_eq!(needs(&config)[0].anew, ["b"]);
        config.services.insert("c".into(), Service { pull: Pull::Never, ..ocps });
        let needs = needs(&config);
        assert_eq!((needs[0].pull, needs[0].services.join(" ").as_str()), (Pull::Never, "b c ocps"));
    }
}
