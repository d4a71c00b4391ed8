import Foundation

/// The files of a new service, and the lines where services are listed.
package struct ServiceTemplate: Sendable {
    /// `Billing`.
    package let name: String
    /// `billing`: the executable, image, schema, role, topic and metrics prefix.
    package var word: String { name.lowercased() }

    /// Throws a `StackFailure` when the name is not one capitalized word of 2 to 24 letters.
    package init(name: String) throws {
        guard name.wholeMatch(of: /[A-Z][a-z]{1,23}/) != nil else {
            throw StackFailure(
                "\"\(name)\" cannot be the name of a service: it is one word of 2 to 24 letters with a capital first, such as Billing.")
        }
        self.name = name
    }

    /// Writes everything, or nothing when something is in the way. Returns a line for each file written or changed.
    ///
    /// Throws a `StackFailure` when a file is there already, or a list has not the form that is expected.
    package func write(into checkout: String) throws -> [String] {
        []
    }
}
