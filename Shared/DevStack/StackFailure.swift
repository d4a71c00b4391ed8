/// Something that keeps the local stack from starting or going on, as one sentence for the person at the terminal.
package struct StackFailure: Error, CustomStringConvertible, Equatable {
    /// What is wrong and what to do next.
    package let description: String

    package init(_ description: String) { self.description = description }
}
