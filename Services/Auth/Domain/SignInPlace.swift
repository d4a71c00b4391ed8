import Contracts
import Foundation

/// Where somebody tries to sign in from, and how they are counted there when they fail.
struct SignInPlace: Sendable {
    let email: EmailAddress
    let device: DeviceName
    let network: NetworkRange
    let mark: DeviceMark?

    init(email: EmailAddress, device: DeviceName, network: NetworkRange, mark: DeviceMark?) {
        self.email = email
        self.device = device
        self.network = network
        self.mark = mark
    }

    /// A place where the account has signed in before.
    struct Known: Sendable, Equatable {
        let device: String
        let network: String
        /// Empty where the program keeps no cookies.
        let mark: String
    }

    func isKnownNetwork(among places: [Known]) -> Bool { places.contains { $0.network == network.description } }
    func isKnownMark(among places: [Known]) -> Bool { mark.map { mark in places.contains { $0.mark == mark.text } } ?? false }
    func isKnownDevice(among places: [Known]) -> Bool {
        isKnownMark(among: places) || places.contains { $0.device == device.description }
    }

    /// Every count that matters here.
    var counters: [FailureCounter] { [.place(email, network), .address(email), .network(network)] + marked }

    /// The allowance that a failure here uses up: a browser that has signed in before has one of its own, so that nobody behind the
    /// same address can use it up.
    func allowance(among places: [Known]) -> FailureCounter {
        isKnownMark(among: places) ? marked[0] : .place(email, network)
    }

    /// A success says that the failures here were the person's own; those of others, elsewhere, stay counted.
    func forgottenOnSuccess(among places: [Known]) -> [FailureCounter] {
        isKnownMark(among: places) || isKnownNetwork(among: places)
            ? [allowance(among: places)] : [.place(email, network), .address(email)]
    }

    private var marked: [FailureCounter] {
        mark.map { [.device(email, $0)] } ?? []
    }
}
