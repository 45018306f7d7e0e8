//! Second opinions on what a placement could cost.

use e2::place::Problem;
use good_lp::{Expression, ProblemVariables, Solution, SolverModel, Variable, constraint, microlp, variable};

/// The optimum as a mixed integer program: a binary variable for each instance on each server, and for each pair with traffic one
/// that is 1 where they are apart.
pub(crate) fn milp(problem: &Problem) -> u64 {
    let (count, servers) = (problem.instances(), problem.cores.len());
    let mut variables = ProblemVariables::new();
    let on: Vec<Vec<Variable>> =
        (0..count).map(|_| (0..servers).map(|_| variables.add(variable().binary())).collect()).collect();
    let pairs: Vec<(usize, usize, u64)> = problem.pairs().collect();
    let apart: Vec<Variable> = pairs.iter().map(|_| variables.add(variable().min(0).max(1))).collect();
    // In units of the largest, so that tolerances of the solver's floating point mean something.
    let largest = pairs.iter().map(|(.., rate)| *rate).max().unwrap_or(1) as f64;
    let cost: Expression =
        pairs.iter().zip(&apart).map(|((.., rate), apart)| *apart * (*rate as f64 / largest)).sum();
    let mut model = variables.minimise(cost).using(microlp);
    for row in &on {
        model = model.with(constraint!(row.iter().sum::<Expression>() == 1));
    }
    for (server, cores) in problem.cores.iter().enumerate() {
        let used: Expression = on.iter().map(|row| row[server]).sum();
        model = model.with(constraint!(used <= f64::from(*cores)));
    }
    for ((one, other, _), apart) in pairs.iter().zip(&apart) {
        for (here, there) in on[*one].iter().zip(&on[*other]) {
            model = model.with(constraint!(*here - *there <= *apart));
        }
    }
    let solution = model.solve().expect("instances fit");
    let chosen: Vec<usize> = on
        .iter()
        .map(|row| (0..servers).find(|server| solution.value(row[*server]) > 0.5).expect("a server"))
        .collect();
    assert!(problem.holds(&chosen));
    problem.cut(&chosen)
}

/// Every assignment there is.
pub(crate) fn all(problem: &Problem) -> u64 {
    fn descend(problem: &Problem, free: &mut [u32], chosen: &mut Vec<usize>, best: &mut u64) {
        if chosen.len() == problem.instances() {
            *best = (*best).min(problem.cut(chosen));
            return;
        }
        for server in 0..free.len() {
            if free[server] > 0 {
                free[server] -= 1;
                chosen.push(server);
                descend(problem, free, chosen, best);
                chosen.pop();
                free[server] += 1;
            }
        }
    }
    let mut best = u64::MAX;
    descend(problem, &mut problem.cores.clone(), &mut Vec::new(), &mut best);
    best
}
