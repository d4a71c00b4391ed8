import DevStack
import Foundation
import Kafka
import Testing

@Suite("The local broker")
struct BrokerProgramTests {
    @Test("Brokers get the ports asked for and tell them to clients")
    func fixedPorts() async throws {
        let broker = try await Brokers.fresh(brokers: 2)
        let topic = freshTopic()
        try await broker.control("topic \(topic) 3")
        try await broker.control("leader \(topic) 0 2")
        // Only reachable when the second broker's advertised port is right too.
        let producer = try KafkaProducer(Brokers.configuration(broker), logger: quiet)
        for partition in 0..<3 { _ = try await producer.send(KafkaRecord(topic: topic, value: [1], partition: Int32(partition))) }
        await producer.shutdown()
        #expect(try await KafkaReader(Brokers.configuration(broker), logger: quiet).partitions(of: topic).count == 3)
        await broker.stop()
    }

    @Test("A port in use ends it with a sentence")
    func portInUse() async throws {
        let broker = try await Brokers.shared.value
        let run = try run(["--port", "\(broker.port)"])
        #expect(run.status == 1)
        #expect(run.errors.contains("port \(broker.port) of 127.0.0.1 is in use"))
    }

    @Test("It ends with its input when told so, and commands on input are answered")
    func input() throws {
        let run = try run(
            ["--port", "0", "--topic", "a:3", "--topic", "b", "--stop-with-input"], input: "topics\nnonsense\ndown 9\ncoordinator g 1\n")
        #expect(run.status == 0)
        let lines = run.output.split(separator: "\n").map(String.init)
        #expect(lines.first?.hasPrefix("ready 127.0.0.1:") == true)
        #expect(lines.contains("a 3") && lines.contains("b 4"))
        #expect(lines.filter { $0.hasPrefix("error") }.count == 2)
        #expect(lines.last == "ok", "the coordinator is moved")
    }

    @Test("Its help states what it is not")
    func help() throws {
        let help = try run(["--help"]).output.replacing("\n", with: " ")
        for limit in ["nothing over a restart", "5 MiB", "100,000", "deduplicate", "transactions"] { #expect(help.contains(limit)) }
    }

    @Test("Injected errors are retried by the producer")
    func injectedErrors() async throws {
        let broker = try await Brokers.fresh()
        let producer = try KafkaProducer(Brokers.configuration(broker), logger: quiet)
        let topic = freshTopic()
        _ = try await producer.send(KafkaRecord(topic: topic, value: [1], partition: 0))
        // API 0 is Produce, error 19 NOT_ENOUGH_REPLICAS.
        try await broker.control("error 0 19 3")
        let delivery = try await producer.send(KafkaRecord(topic: topic, value: [2], partition: 0))
        #expect(delivery.offset == 1)
        await producer.shutdown()
        await broker.stop()
    }

    private struct Run {
        let status: Int32
        let output: String
        let errors: String
    }

    private func run(_ arguments: [String], input: String = "") throws -> Run {
        let process = Process()
        process.executableURL = URL(filePath: try #require(BuildFolder.program("trionex-broker")))
        process.arguments = arguments
        let (inPipe, outPipe, errPipe) = (Pipe(), Pipe(), Pipe())
        process.standardInput = inPipe
        process.standardOutput = outPipe
        process.standardError = errPipe
        try process.run()
        inPipe.fileHandleForWriting.write(Data(input.utf8))
        try inPipe.fileHandleForWriting.close()
        let output = outPipe.fileHandleForReading.readDataToEndOfFile()
        let errors = errPipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return Run(
            status: process.terminationStatus, output: String(decoding: output, as: UTF8.self),
            errors: String(decoding: errors, as: UTF8.self))
    }
}
