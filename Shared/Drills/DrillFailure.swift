/// Why a drill could not be played. The sentence is for whoever runs it.
package struct DrillFailure: Error, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}
