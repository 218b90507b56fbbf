//! Steps that each make a value of their own, written as a [`Program`] with one running value and registers.
//!
//! What a step makes and only the next one reads stays in the running value; a product that is only added or subtracted
//! is fused with the sum. What is left are values that several steps read, or that one reads beside another: those take a
//! register each, from when they are made to when they are last read.

use crate::operator::{Operand, Operator, Program};

/// What one step makes of its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Add,
    Sub,
    Mul,
    Div,
    Max,
    Min,
    Neg,
    Reciprocal,
    Abs,
    Sqrt,
    Exp,
    Log,
    Tanh,
    Sigmoid,
    Relu,
    /// The third argument where the first is greater than the second, else the fourth.
    Select,
}

impl Function {
    /// The operator of ONNX by this name, where it is a pointwise one of this list.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "Add" => Self::Add,
            "Sub" => Self::Sub,
            "Mul" => Self::Mul,
            "Div" => Self::Div,
            "Max" => Self::Max,
            "Min" => Self::Min,
            "Neg" => Self::Neg,
            "Reciprocal" => Self::Reciprocal,
            "Abs" => Self::Abs,
            "Sqrt" => Self::Sqrt,
            "Exp" => Self::Exp,
            "Log" => Self::Log,
            "Tanh" => Self::Tanh,
            "Sigmoid" => Self::Sigmoid,
            "Relu" => Self::Relu,
            _ => return None,
        })
    }

    /// Arguments that it takes.
    pub(super) fn arity(self) -> usize {
        match self {
            Self::Add | Self::Sub | Self::Mul | Self::Div | Self::Max | Self::Min => 2,
            Self::Select => 4,
            _ => 1,
        }
    }
}

/// What a step reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    /// What an earlier step made.
    Step(usize),
    /// Anything else but a register.
    Other(Operand),
}

/// A function with its arguments.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) function: Function,
    pub(super) arguments: Vec<Value>,
}

/// A value that is asked for, and where it goes: plane `plane` of output `output`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) value: Value,
    pub(super) output: usize,
    pub(super) plane: usize,
}

/// The program for rows of `columns` values that makes what is wanted.
pub(super) fn lower(steps: &[Step], wanted: &[Wanted], columns: usize) -> Program {
    let mut tree = Tree::new(steps, wanted);
    tree.fuse_products();
    tree.chain();
    tree.write(columns)
}

/// What a node makes of its arguments.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Plain(Function),
    /// Of one argument.
    Square,
    /// Of p, q and r: r + p q.
    AddProduct,
    /// r - p q
    SubProduct,
    /// p q - r
    ProductSub,
}

#[derive(Debug)]
struct Node {
    form: Form,
    arguments: Vec<Value>,
    /// How often nodes that are needed read it; a node that nobody needs has neither readers nor outputs.
    readers: usize,
    outputs: Vec<Operand>,
    /// Which argument is in the running value already.
    entry: Option<usize>,
    /// Whether its only reader finds it in the running value.
    inner: bool,
}

/// Steps, simplified, with what is known of them.
struct Tree {
    nodes: Vec<Node>,
    /// What is wanted but is made by no step.
    copies: Vec<(Operand, Operand)>,
}

impl Tree {
    fn new(steps: &[Step], wanted: &[Wanted]) -> Self {
        let mut nodes: Vec<Node> = Vec::with_capacity(steps.len());
        // What stands for each step.
        let mut same: Vec<Value> = Vec::with_capacity(steps.len());
        for step in steps {
            let now = |value: &Value| if let Value::Step(s) = value { same[*s] } else { *value };
            let arguments: Vec<Value> = step.arguments.iter().map(now).collect();
            let (form, arguments) = match simplify(step.function, arguments) {
                Simple::Known(value) => {
                    same.push(value);
                    continue;
                }
                Simple::Node(form, arguments) => (form, arguments),
            };
            same.push(Value::Step(nodes.len()));
            nodes.push(Node { form, arguments, readers: 0, outputs: Vec::new(), entry: None, inner: false });
        }
        let mut copies = Vec::new();
        for Wanted { value, output, plane } in wanted {
            let output = Operand::Output { output: *output, plane: *plane };
            match if let Value::Step(s) = value { same[*s] } else { *value } {
                Value::Step(s) => nodes[s].outputs.push(output),
                Value::Other(operand) => copies.push((operand, output)),
            }
        }
        for i in (0..nodes.len()).rev() {
            if nodes[i].is_needed() {
                for s in nodes[i].reads().collect::<Vec<_>>() {
                    nodes[s].readers += 1;
                }
            }
        }
        Self { nodes, copies }
    }

    /// Sums of products that nothing else reads. A square is none: its argument would have to be put aside.
    fn fuse_products(&mut self) {
        for i in 0..self.nodes.len() {
            let Form::Plain(function @ (Function::Add | Function::Sub)) = self.nodes[i].form else { continue };
            if !self.nodes[i].is_needed() {
                continue;
            }
            let is_lone_product = |value: &Value| {
                let Value::Step(s) = value else { return false };
                let node = &self.nodes[*s];
                node.form == Form::Plain(Function::Mul) && node.readers == 1 && node.outputs.is_empty()
            };
            // Of two products neither: equal ones, which take each other away, would not any more.
            let products: Vec<usize> = (0..2).filter(|at| is_lone_product(&self.nodes[i].arguments[*at])).collect();
            let [at] = products[..] else { continue };
            let Value::Step(product) = self.nodes[i].arguments[at] else { continue };
            let rest = self.nodes[i].arguments[1 - at];
            let mut arguments = std::mem::take(&mut self.nodes[product].arguments);
            arguments.push(rest);
            self.nodes[product].readers = 0;
            self.nodes[i].form = match (function, at) {
                (Function::Add, _) => Form::AddProduct,
                (_, 1) => Form::SubProduct,
                _ => Form::ProductSub,
            };
            self.nodes[i].arguments = arguments;
        }
    }

    /// Let every node go on from the longest chain of nodes that nothing else reads.
    fn chain(&mut self) {
        let mut length = vec![0; self.nodes.len()];
        for i in 0..self.nodes.len() {
            length[i] = 1;
            if self.nodes[i].form == Form::Plain(Function::Select) || !self.nodes[i].is_needed() {
                continue;
            }
            let chains = self.nodes[i].arguments.iter().enumerate().filter_map(|(at, value)| match value {
                Value::Step(s) if self.nodes[*s].readers == 1 => Some((at, *s)),
                _ => None,
            });
            if let Some((at, s)) = chains.max_by_key(|(_, s)| length[*s]) {
                self.nodes[i].entry = Some(at);
                self.nodes[s].inner = true;
                length[i] += length[s];
            }
        }
    }

    /// The nodes of the chain that ends with a node, in order.
    fn chain_of(&self, last: usize) -> Vec<usize> {
        let mut chain = vec![last];
        let mut first = last;
        while let Some(Value::Step(s)) = self.nodes[first].entry.map(|at| self.nodes[first].arguments[at]) {
            chain.push(s);
            first = s;
        }
        chain.reverse();
        chain
    }

    fn write(&self, columns: usize) -> Program {
        let mut program = Program::new(columns);
        let ends = (0..self.nodes.len()).filter(|i| self.nodes[*i].is_needed() && !self.nodes[*i].inner);
        let chains: Vec<Vec<usize>> = ends.map(|i| self.chain_of(i)).collect();
        // The chain that reads a node last.
        let mut last_read = vec![0; self.nodes.len()];
        for (c, chain) in chains.iter().enumerate() {
            for s in chain.iter().flat_map(|i| self.nodes[*i].reads()) {
                last_read[s] = c;
            }
        }
        let mut register = vec![usize::MAX; self.nodes.len()];
        let mut free: Vec<usize> = Vec::new();
        let mut count = 0;
        let mut running = None;
        for (c, chain) in chains.iter().enumerate() {
            for &i in chain {
                let node = &self.nodes[i];
                let held = |value: &Value| running.is_some_and(|r| *value == Value::Step(r));
                let entry = node.entry.or_else(|| node.arguments.iter().position(held));
                let operands: Vec<Operand> = node
                    .arguments
                    .iter()
                    .map(|value| match value {
                        Value::Step(s) => Operand::Register(register[*s]),
                        Value::Other(operand) => *operand,
                    })
                    .collect();
                write_node(&mut program, node.form, entry, &operands);
                for output in &node.outputs {
                    program.push(Operator::Put, &[*output]);
                }
                running = Some(i);
            }
            let mut done: Vec<usize> = chain.iter().flat_map(|i| self.nodes[*i].reads()).collect();
            done.retain(|s| last_read[*s] == c && !self.nodes[*s].inner);
            done.sort_unstable();
            done.dedup();
            free.extend(done.into_iter().map(|s| register[s]));
            if let Some(&last) = chain.last()
                && self.nodes[last].readers > 0
            {
                register[last] = free.pop().unwrap_or_else(|| {
                    count += 1;
                    count - 1
                });
                program.push(Operator::Put, &[Operand::Register(register[last])]);
            }
        }
        for (from, output) in &self.copies {
            program.push(Operator::Take, &[*from]);
            program.push(Operator::Put, &[*output]);
        }
        program
    }
}

impl Node {
    fn is_needed(&self) -> bool {
        self.readers > 0 || !self.outputs.is_empty()
    }

    /// The nodes that it reads.
    fn reads(&self) -> impl Iterator<Item = usize> {
        self.arguments.iter().filter_map(|value| if let Value::Step(s) = value { Some(*s) } else { None })
    }
}

/// What a step comes to.
enum Simple {
    /// A value that is there.
    Known(Value),
    Node(Form, Vec<Value>),
}

fn simplify(function: Function, arguments: Vec<Value>) -> Simple {
    let constant = |value: &Value| if let Value::Other(Operand::Constant(c)) = value { Some(*c) } else { None };
    match (function, arguments.as_slice()) {
        (Function::Mul, [a, one]) | (Function::Mul, [one, a]) | (Function::Div, [a, one])
            if constant(one) == Some(1.0) =>
        {
            return Simple::Known(*a);
        }
        (Function::Div, [a, b]) => {
            if let Some(c) = constant(b).filter(|c| c.is_normal() && c.recip().is_normal()) {
                let arguments = vec![*a, Value::Other(Operand::Constant(c.recip()))];
                return Simple::Node(Form::Plain(Function::Mul), arguments);
            }
        }
        (Function::Mul, [a @ Value::Step(_), b]) if a == b => return Simple::Node(Form::Square, vec![*a]),
        (Function::Add, [a @ Value::Step(_), b]) if a == b => {
            let arguments = vec![*a, Value::Other(Operand::Constant(2.0))];
            return Simple::Node(Form::Plain(Function::Mul), arguments);
        }
        _ => {}
    }
    Simple::Node(Form::Plain(function), arguments)
}

/// Write the step of a node, whose argument `entry` is in the running value.
fn write_node(program: &mut Program, form: Form, entry: Option<usize>, operands: &[Operand]) {
    let Some(entry) = entry else {
        let first = match form {
            Form::Plain(Function::Select) => return program.push(Operator::Choose, operands),
            Form::Plain(Function::Mul) => return program.push(Operator::Product, operands),
            // A product that is added to what has to be fetched as well.
            Form::AddProduct | Form::SubProduct | Form::ProductSub => 2,
            _ => 0,
        };
        program.push(Operator::Take, &operands[first..=first]);
        return write_node(program, form, Some(first), operands);
    };
    let others: Vec<Operand> = (0..operands.len()).filter(|k| *k != entry).map(|k| operands[k]).collect();
    let operator = match (form, entry) {
        (Form::Square, _) => Operator::Square,
        (Form::AddProduct, 2) => Operator::AddProduct,
        (Form::AddProduct, _) => Operator::MulAdd,
        (Form::SubProduct, 2) => Operator::SubProduct,
        (Form::SubProduct, _) => Operator::MulSubFrom,
        (Form::ProductSub, 2) => Operator::SubFromProduct,
        (Form::ProductSub, _) => Operator::MulSub,
        (Form::Plain(function), entry) => match (function, entry) {
            (Function::Add, _) => Operator::Add,
            (Function::Sub, 0) => Operator::Sub,
            (Function::Sub, _) => Operator::SubFrom,
            (Function::Mul, _) => Operator::Mul,
            (Function::Div, 0) => Operator::Div,
            (Function::Div, _) => Operator::DivInto,
            (Function::Max, 0) => Operator::Max,
            (Function::Max, _) => Operator::MaxOf,
            (Function::Min, 0) => Operator::Min,
            (Function::Min, _) => Operator::MinOf,
            (Function::Neg, _) => Operator::Neg,
            (Function::Reciprocal, _) => Operator::Reciprocal,
            (Function::Abs, _) => Operator::Abs,
            (Function::Sqrt, _) => Operator::Sqrt,
            (Function::Exp, _) => Operator::Exp,
            (Function::Log, _) => Operator::Log,
            (Function::Tanh, _) => Operator::Tanh,
            (Function::Sigmoid, _) => Operator::Sigmoid,
            (Function::Relu, _) => Operator::Relu,
            (Function::Select, _) => return program.push(Operator::Choose, operands),
        },
    };
    program.push(operator, &others);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::operator::Place;

    /// Steps whose results are whole numbers below 2^24, so that every order of rounding gives the same.
    const EXACT: [Function; 9] = [
        Function::Add,
        Function::Sub,
        Function::Mul,
        Function::Max,
        Function::Min,
        Function::Neg,
        Function::Abs,
        Function::Relu,
        Function::Select,
    ];

    fn naive(function: Function, of: &[f32]) -> f32 {
        match (function, of) {
            (Function::Add, [a, b]) => a + b,
            (Function::Sub, [a, b]) => a - b,
            (Function::Mul, [a, b]) => a * b,
            (Function::Max, [a, b]) => a.max(*b),
            (Function::Min, [a, b]) => a.min(*b),
            (Function::Neg, [a]) => -a,
            (Function::Abs, [a]) => a.abs(),
            (Function::Relu, [a]) => a.max(0.0),
            (Function::Select, [a, b, yes, no]) => {
                if a > b {
                    *yes
                } else {
                    *no
                }
            }
            _ => unreachable!("{function:?} of {of:?}"),
        }
    }

    /// A value: one of two inputs, a constant, or an earlier step, of `steps` many.
    fn value(choice: usize, steps: usize) -> Value {
        match choice % (steps + 4) {
            0 => Value::Other(Operand::Input { input: 0, plane: 0 }),
            1 => Value::Other(Operand::Input { input: 1, plane: 0 }),
            2 => Value::Other(Operand::Constant(1.0)),
            3 => Value::Other(Operand::Constant(-2.0)),
            s => Value::Step(s - 4),
        }
    }

    proptest! {
        #[test]
        fn a_program_makes_what_its_steps_are_defined_as(
            drawn in proptest::collection::vec((0..EXACT.len(), proptest::array::uniform4(0_usize..10_000)), 1..40),
            asked in proptest::collection::vec(0_usize..10_000, 1..6),
        ) {
            let mut steps: Vec<Step> = Vec::new();
            let limit = |steps: &mut Vec<Step>, function, bound: f32| {
                let of = Value::Step(steps.len() - 1);
                steps.push(Step { function, arguments: vec![of, Value::Other(Operand::Constant(bound))] });
            };
            for (function, choices) in drawn {
                let function = EXACT[function];
                let arguments = choices[..function.arity()].iter().map(|c| value(*c, steps.len())).collect();
                steps.push(Step { function, arguments });
                if matches!(function, Function::Mul | Function::Add) && choices[3] % 4 == 0 {
                    limit(&mut steps, Function::Min, 9.0);
                    limit(&mut steps, Function::Max, -9.0);
                }
            }
            let wanted: Vec<Wanted> = asked
                .iter()
                .enumerate()
                .map(|(plane, choice)| Wanted { value: value(*choice, steps.len()), output: 0, plane })
                .collect();

            let columns = 5;
            let inputs = [[-3.0, -1.0, 0.0, 1.0, 2.0], [2.0, -1.0, 1.0, 0.0, -2.0]];
            let mut made: Vec<Vec<f32>> = Vec::new();
            let read = |made: &[Vec<f32>], value: &Value, x: usize| match value {
                Value::Step(s) => made[*s][x],
                Value::Other(Operand::Constant(c)) => *c,
                Value::Other(Operand::Input { input, .. }) => inputs[*input][x],
                Value::Other(other) => unreachable!("{other:?}"),
            };
            for step in &steps {
                let one = |x| {
                    let of: Vec<f32> = step.arguments.iter().map(|a| read(&made, a, x)).collect();
                    naive(step.function, &of)
                };
                made.push((0..columns).map(one).collect());
            }
            prop_assume!(made.iter().flatten().all(|v| v.abs() < 1e7));

            let program = lower(&steps, &wanted, columns);
            let whole = Place::whole(1, columns);
            let mut out = [vec![f32::NAN; wanted.len() * columns]];
            let mut scratch = vec![f32::NAN; program.scratch_len()];
            program.run(0..1, |i| (&inputs[i], whole), &mut out, |_| whole, &mut scratch);
            for Wanted { value, plane, .. } in &wanted {
                for x in 0..columns {
                    prop_assert_eq!(out[0][plane * columns + x], read(&made, value, x), "{:?}", value);
                }
            }
        }
    }

    #[test]
    fn what_only_the_next_step_reads_takes_no_register() {
        // ((a b + 1) a)^2 - b: one product fused, nothing put aside.
        let [a, b] = [0, 1].map(|input| Value::Other(Operand::Input { input, plane: 0 }));
        let one = Value::Other(Operand::Constant(1.0));
        let step = |function, arguments: &[Value]| Step { function, arguments: arguments.to_vec() };
        let steps = [
            step(Function::Mul, &[a, b]),
            step(Function::Add, &[Value::Step(0), one]),
            step(Function::Mul, &[Value::Step(1), a]),
            step(Function::Mul, &[Value::Step(2), Value::Step(2)]),
            step(Function::Sub, &[Value::Step(3), b]),
        ];
        let program = lower(&steps, &[Wanted { value: Value::Step(4), output: 0, plane: 0 }], 8);
        let [a, b] = [0, 1].map(|input| Operand::Input { input, plane: 0 });
        let mut expected = Program::new(8);
        expected.push(Operator::Take, &[Operand::Constant(1.0)]);
        expected.push(Operator::AddProduct, &[a, b]);
        expected.push(Operator::Mul, &[a]);
        expected.push(Operator::Square, &[]);
        expected.push(Operator::Sub, &[b]);
        expected.push(Operator::Put, &[Operand::Output { output: 0, plane: 0 }]);
        assert_eq!(program, expected);
    }
}
