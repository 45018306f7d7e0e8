use super::*;

fn planned(text: &str, root: Option<&Path>, args: &[(&str, &str)]) -> Result<Plan, Vec<String>> {
    let args = args.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let recipe = Recipe {
        name: "app".into(),
        dockerfile: text.into(),
        file: "Dockerfile".into(),
        args,
        ..Recipe::default()
    };
    plan(&Pantry { root, recipe: &recipe })
        .map_err(|faults| faults.iter().map(|fault| format!("{}: {fault}", fault.span.line)).collect())
}

fn steps(plan: &Plan) -> Vec<&str> {
    plan.stages[plan.target].steps.iter().map(|step| step.shown.as_str()).collect()
}

#[test]
fn the_configuration_is_what_the_instructions_say() {
    let text = "ARG TAG=v1\nFROM host AS base\nARG TAG\nENV A=1 B=\"x $TAG\" C=$TAG\nENV OLD style of it\nWORKDIR /srv\n\
                    WORKDIR app\nUSER www:data\nEXPOSE 80 53/udp\nLABEL a=b\nMAINTAINER me\nCMD [\"serve\", \"$A\"]\n\
                    FROM base\nENTRYPOINT /start now\nCMD [\"x\"]\nSHELL [\"/bin/bash\", \"-c\"]\nRUN echo $A\n";
    let plan = planned(text, None, &[]).unwrap();
    let config = &plan.config;
    let env: Vec<_> = config.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(env, ["A=1", "B=x v1", "C=v1", "OLD=style of it"]);
    assert_eq!((config.workdir.as_deref(), config.user.as_deref()), (Some("/srv/app"), Some("www:data")));
    assert_eq!(config.entrypoint, ["/bin/sh", "-c", "/start now"]);
    assert_eq!(config.command, ["x"]);
    assert_eq!(config.exposed.len(), 2);
    assert_eq!(config.labels["maintainer"], "me");
    let What::Run(run) = &plan.stages[1].steps[0].what else { panic!("a RUN") };
    assert_eq!(run.command, ["/bin/bash", "-c", "echo $A"]);
    assert_eq!((run.workdir.as_str(), run.env["A"].as_str()), ("/srv/app", "1"));
    let base = planned("FROM host\nCMD [\"a\"]\nENTRYPOINT [\"b\"]\n", None, &[]).unwrap();
    assert_eq!(base.config.command, ["a"], "its own command stays");
    let base = planned("FROM host AS x\nCMD a\nFROM x\nENTRYPOINT [\"b\"]\n", None, &[]).unwrap();
    assert_eq!(base.config.command, Vec::<String>::new(), "one of the base goes");
}

#[test]
fn a_digest_is_of_everything_that_the_image_depends_on() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().canonicalize().unwrap();
    std::fs::write(root.join("a"), "1").unwrap();
    std::fs::write(root.join("b"), "1").unwrap();
    let text = "FROM scratch AS one\nARG V=1\nCOPY a /\nFROM scratch\nCOPY --from=one a /b\nCMD [\"/b\"]\n";
    let digest = |text: &str, args: &[(&str, &str)]| planned(text, Some(&root), args).unwrap().digest;
    let first = digest(text, &[]);
    assert_eq!(digest(text, &[]), first);
    assert_eq!(digest(text, &[("V", "2")]), first, "an argument that nothing uses");
    for other in [
        text.replace("a /\n", "b /\n"),
        text.replace("CMD [\"/b\"]", "CMD [\"/c\"]"),
        text.replace("a /b", "--chown=1 a /b"),
        text.replace("scratch AS", "host AS"),
    ] {
        assert_ne!(digest(&other, &[]), first, "{other}");
    }
    std::fs::write(root.join("b"), "2").unwrap();
    assert_eq!(digest(text, &[]), first, "a file that is not copied");
    std::fs::write(root.join("a"), "2").unwrap();
    assert_ne!(digest(text, &[]), first, "a file of an earlier stage");
    let run = "FROM host\nARG V=1\nRUN echo $V\n";
    assert_ne!(digest(run, &[("V", "2")]), digest(run, &[]));
}

#[test]
fn keys_change_from_the_instruction_on_that_does() {
    let keys = |text: &str| -> Vec<String> {
        planned(text, None, &[]).unwrap().stages[0].steps.iter().map(|step| step.key.clone()).collect()
    };
    let (one, two) = (keys("FROM host\nRUN a\nRUN b\nRUN c\n"), keys("FROM host\nRUN a\nRUN B\nRUN c\n"));
    assert_eq!(one[0], two[0]);
    assert!(one[1] != two[1] && one[2] != two[2]);
    let labelled = keys("FROM host\nRUN a\nLABEL x=y\nRUN b\nRUN c\n");
    assert_eq!(one, labelled, "a label changes no files");
}

#[test]
fn texts_of_run_are_the_shells_or_its_own() {
    let text = "FROM host\nRUN <<EOF\necho 1\necho 2\nEOF\nRUN cat <<A > /x && true\nhello\nA\n";
    let plan = planned(text, None, &[]).unwrap();
    let script = |at: usize| match &plan.stages[0].steps[at].what {
        What::Run(run) => run.command[2].clone(),
        _ => panic!("a RUN"),
    };
    assert_eq!(script(0), "echo 1\necho 2\n");
    assert_eq!(script(1), "cat <<A > /x && true\nhello\nA\n");
    assert_eq!(steps(&plan).len(), 2);
}

#[test]
fn every_fault_has_its_line() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().canonicalize().unwrap();
    for (text, faults) in [
        ("", vec!["1: the Dockerfile is empty"]),
        ("RUN x\n", vec!["1: RUN stands before the first FROM"]),
        ("FROM acme/base:1\n", vec!["1: there is no image 'acme/base:1' to begin with"]),
        ("FROM host\nCOPY missing /\n", vec!["2: there is no 'missing' in the blueprint's directory"]),
        ("FROM host\nCOPY ../x /\n", vec!["2: '../x' is outside of the blueprint's directory"]),
        (
            "FROM host\n\nCOPY x\nEXPOSE 0\n",
            vec!["3: COPY has no destination", "4: '0' is no port to expose"],
        ),
        ("FROM host\nCOPY --form=x a b\n", vec!["2: COPY has no flag '--form' that weft knows"]),
        ("FROM host\nCOPY --from=later a b\n", vec!["2: there is no stage 'later' to copy from"]),
        ("FROM host\nRUN --mount=type=cache x\n", vec!["2: RUN has no flag '--mount' that weft knows"]),
        (
            "FROM host\nADD https://x.org/y /\n",
            vec!["2: ADD of 'https://x.org/y' needs the network, which a build does not have"],
        ),
        ("FROM host\nENV A\n", vec!["2: ENV A has no value"]),
        ("FROM host\nENV A=1 B\n", vec!["2: 'B' in ENV is no NAME=VALUE"]),
        ("FROM host\nCMD ['x']\n", vec!["2: CMD begins with a list in single quotes"]),
        ("FROM host\nWORKDIR ${X\n", vec!["2: '${X' has no end"]),
        (
            "FROM --platform=linux/s390x host\n",
            vec!["1: FROM asks for the platform 'linux/s390x', and this machine is linux/amd64"],
        ),
        (
            "FROM oci:nothing.tar\n",
            vec!["1: cannot find nothing.tar: No such file or directory (os error 2)"],
        ),
        ("FROM oci:../x.tar\n", vec!["1: '../x.tar' is outside of the blueprint's directory"]),
    ] {
        let found = planned(text, Some(&root), &[]).unwrap_err();
        let faults: Vec<_> = faults.iter().map(|fault| fault.replace("amd64", architecture())).collect();
        assert_eq!(found, faults, "{text}");
    }
    assert_eq!(
        planned("FROM host\n", None, &[("X", "1")]).unwrap_err(),
        ["1: no ARG takes the build argument 'X'"]
    );
    assert_eq!(
        planned("FROM host\nCOPY a b\n", None, &[]).unwrap_err(),
        ["2: this blueprint has no directory to copy from"]
    );
}
