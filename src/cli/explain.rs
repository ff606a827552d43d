//! `portcullis explain`: who a certificate is, what a service may do, who may talk to whom.

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;

use super::exit::Exit;
use super::output::Told;
use crate::clock::unix_now;
use crate::config::Faults;
use crate::identity::certificate::CertificateFacts;
use crate::identity::{Role, ServiceName};
use crate::load::{self, Loaded};
use crate::policy::{Grants, GroupName, SubscribePermit, matrix_of_everybody};
use crate::report::chain;
use crate::topic::{Pattern, Topic};
use crate::trust::pem;

/// With a certificate: the outcome, the rule and the grants. With `--service`: those of a name. With `--publish` or
/// `--subscribe` besides: the verdict on one topic alone, for scripts and CI (exit code 1 is a denial). With `--matrix`:
/// everybody at once.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["certificate", "service", "matrix"]))]
pub struct Arguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE", env = "PORTCULLIS_CONFIG")]
    config: PathBuf,
    /// A client's certificate, PEM, its chain behind it.
    #[arg(value_name = "CERT.pem")]
    certificate: Option<PathBuf>,
    /// Ask about this service.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// A role that the service has; may be repeated. A certificate has its own.
    // clap waives `requires` where what is required conflicts with what is there: the conflicts are named too.
    #[arg(long = "role", value_name = "ROLE", requires = "service", conflicts_with_all = ["certificate", "matrix"])]
    roles: Vec<String>,
    /// May it publish on this topic?
    #[arg(long, value_name = "TOPIC", conflicts_with_all = ["subscribe", "group", "matrix"])]
    publish: Option<String>,
    /// May it subscribe to this pattern?
    #[arg(long, value_name = "PATTERN", conflicts_with = "matrix")]
    subscribe: Option<String>,
    /// The queue group of the subscription.
    #[arg(long, value_name = "GROUP", requires = "subscribe", conflicts_with = "matrix")]
    group: Option<String>,
    /// Who may talk to whom: every service and role that the policy names.
    #[arg(long)]
    matrix: bool,
}

/// What is asked of somebody's grants.
enum Question {
    Publish(Topic),
    Subscribe(Pattern, Option<GroupName>),
    Everything,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let mut told = Told::default();
    match explain(arguments, &mut told) {
        Ok(exit) => told.print(exit),
        Err(Failure::Config(faults)) => {
            eprintln!("{faults}");
            Exit::Config
        }
        Err(Failure::Usage(error)) => {
            eprintln!("{error}");
            Exit::Usage
        }
    }
}

enum Failure {
    Config(Faults),
    Usage(String),
}

fn explain(arguments: &Arguments, told: &mut Told) -> Result<Exit, Failure> {
    let question = question(arguments).map_err(Failure::Usage)?;
    let loaded = load::first(&arguments.config, unix_now()).map_err(Failure::Config)?;
    match (&arguments.certificate, &arguments.service) {
        (Some(path), _) => explain_certificate(&loaded, path, &question, told).map_err(Failure::Usage),
        (None, Some(service)) => {
            explain_service(&loaded, service, &arguments.roles, &question, told).map_err(Failure::Usage)
        }
        (None, None) => {
            told.text(matrix_of_everybody(&loaded.generation.policy));
            Ok(Exit::Success)
        }
    }
}

fn question(arguments: &Arguments) -> Result<Question, String> {
    if let Some(topic) = &arguments.publish {
        return Topic::parse(topic).map(Question::Publish).map_err(|error| format!("--publish: {error}"));
    }
    let Some(pattern) = &arguments.subscribe else { return Ok(Question::Everything) };
    let pattern = Pattern::parse(pattern).map_err(|error| format!("--subscribe: {error}"))?;
    let group = arguments.group.as_deref().map(GroupName::parse).transpose();
    Ok(Question::Subscribe(pattern, group.map_err(|error| format!("--group: {error}"))?))
}

fn explain_certificate(
    loaded: &Loaded,
    path: &Path,
    question: &Question,
    told: &mut Told,
) -> Result<Exit, String> {
    let read = std::fs::read(path).map_err(|error| chain(&error));
    let certificates = read.and_then(|bytes| pem::certificates(&bytes).map_err(|error| chain(&error)));
    let certificates = certificates.map_err(|error| format!("{}: {error}", path.display()))?;
    let Some((leaf, rest)) = certificates.split_first() else {
        return Err(format!("{}: no certificate in it", path.display()));
    };
    let trust = &loaded.generation.trust;
    let verified = match trust.verify(leaf, rest, unix_now()) {
        Ok(verified) => verified,
        Err(error) => {
            told.line(format_args!("refused   {}", chain(&error)));
            explain_unverified(loaded, leaf, told);
            return Ok(Exit::Refused);
        }
    };
    let mapped = match trust.map(&verified) {
        Ok(mapped) => mapped,
        Err(error) => {
            told.line(format_args!("refused   {}", chain(&error)));
            return Ok(Exit::Refused);
        }
    };
    let roles: Vec<_> = mapped.roles().cloned().collect();
    if let Question::Everything = question {
        told.line(format_args!("trust     {}", verified.trust()));
        told.line(format_args!("service   {}", mapped.service()));
        told.line(format_args!("roles     {}", joined(&roles)));
        told.line(format_args!("rule      {}", mapped.rule()));
        told.line(format_args!("until     {} (Unix seconds)", verified.deadline()));
    }
    Ok(answer(&loaded.generation.policy.grants(mapped.service(), &roles), question, told))
}

/// What the mapping would say, for a certificate that does not verify here.
fn explain_unverified(loaded: &Loaded, leaf: &CertificateDer<'_>, told: &mut Told) {
    let facts = match CertificateFacts::parse(leaf) {
        Ok(facts) => facts,
        Err(error) => return told.line(format_args!("unreadable {}", chain(&error))),
    };
    for domain in loaded.generation.trust.domains() {
        match domain.mapping().map(&facts) {
            Ok(mapped) => {
                told.line(format_args!(
                    "would be  {} in {} by {}",
                    mapped.service(),
                    domain.name(),
                    mapped.rule()
                ));
            }
            Err(error) => told.line(format_args!("would be  nobody in {}: {}", domain.name(), chain(&error))),
        }
    }
}

fn explain_service(
    loaded: &Loaded,
    service: &str,
    roles: &[String],
    question: &Question,
    told: &mut Told,
) -> Result<Exit, String> {
    let service = ServiceName::parse(service).map_err(|error| format!("--service: {error}"))?;
    let roles: Result<Vec<_>, _> = roles.iter().map(|role| Role::parse(role)).collect();
    let roles = roles.map_err(|error| format!("--role: {error}"))?;
    note_names_of_nobody(loaded, &service, &roles);
    Ok(answer(&loaded.generation.policy.grants(&service, &roles), question, told))
}

/// The verdict is about the policy alone: a misspelt name gets one too.
fn note_names_of_nobody(loaded: &Loaded, service: &ServiceName, roles: &[Role]) {
    let domains = loaded.generation.trust.domains();
    if !domains.iter().any(|domain| domain.mapping().may_give(service)) {
        eprintln!("note: no mapping rule gives the name `{service}`");
    }
    for role in roles {
        if !domains.iter().any(|domain| domain.mapping().may_give_role(role)) {
            eprintln!("note: no mapping rule gives the role `{role}`");
        }
    }
}

fn answer(grants: &Grants, question: &Question, told: &mut Told) -> Exit {
    let verdict = match question {
        Question::Publish(topic) => {
            grants.publish(topic).map(|permit| permit.rule().map(ToString::to_string).unwrap_or_default())
        }
        Question::Subscribe(pattern, group) => {
            grants.subscribe(pattern, group.as_ref()).map(|permit| subscription(&permit))
        }
        Question::Everything => return list_grants(grants, told),
    };
    match verdict {
        Ok(rule) => {
            told.line(format_args!("permitted by {rule}"));
            Exit::Success
        }
        Err(denial) => {
            told.line(format_args!("denied: {denial}"));
            Exit::Refused
        }
    }
}

fn subscription(permit: &SubscribePermit) -> String {
    let filter: Vec<_> = permit.filter().iter().map(ToString::to_string).collect();
    match filter.as_slice() {
        [] => permit.rule().to_string(),
        denied => format!("{}, without {}", permit.rule(), denied.join(" ")),
    }
}

fn list_grants(grants: &Grants, told: &mut Told) -> Exit {
    match grants.connect() {
        Ok(rule) => told.line(format_args!("connect   permitted by {rule}")),
        Err(denial) => {
            told.line(format_args!("connect   denied: {denial}"));
            return Exit::Refused;
        }
    }
    let lists = [
        ("publish", grants.publish_rules()),
        ("not", grants.deny_publish_rules()),
        ("subscribe", grants.subscribe_rules()),
        ("not", grants.deny_subscribe_rules()),
    ];
    for (word, rules) in lists {
        for rule in rules {
            told.line(format_args!("{word:9} {}  by {}", rule.pattern, rule.grant));
        }
    }
    for (group, rule) in grants.shared_groups() {
        told.line(format_args!("group     {group} (shared) by {rule}"));
    }
    Exit::Success
}

fn joined(roles: &[Role]) -> String {
    let roles: Vec<_> = roles.iter().map(Role::as_str).collect();
    if roles.is_empty() { "-".into() } else { roles.join(" ") }
}
